#pragma once
// Stream capture and graphs: a stream that captures puts its work into a graph instead of its queue.
//
// Arguments are frozen when the work is captured, as on a GPU: a kernel's parameters, sizes and pointers are copied
// into the node, the memory behind pointers is read at each replay. What the CUDA manual forbids during a capture
// (synchronising, allocating, touching the legacy stream) fails with the documented code and spoils the capture.
#include <driver_types.h>

#include <memory>
#include <thread>
#include <vector>

#include "kernels/emulator/runtime/streams.h"

namespace vigor::emulator {

struct GraphNode {
  cudaGraphNodeType kind;
  Work work;                      // empty for an empty node
  std::vector<int> dependencies;  // indices of earlier nodes
};

// Nodes in an order that respects their dependencies. A cudaGraphNode_t is a pointer to one; these stay where they are.
struct Graph {
  std::vector<std::shared_ptr<GraphNode>> nodes;

  int add(cudaGraphNodeType kind, Work work, std::vector<int> dependencies);
  int index_of(cudaGraphNode_t handle) const;  // throws cudaErrorInvalidValue for a foreign node
  Graph clone() const;
  // Runs every node once: in the order they were captured or, with VIGOR_EMULATOR_WARP_ORDER=<seed>, in a random order
  // that their dependencies allow.
  void run() const;
};

struct Capture {
  uint64_t id = 0;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  const Stream* origin = nullptr;
  bool valid = true;  // false after a forbidden call: everything fails until it is ended
  std::shared_ptr<Graph> graph;
};

void begin_capture(Stream& stream, cudaStreamCaptureMode mode);
std::shared_ptr<Graph> end_capture(Stream& stream);
void abandon_capture(Stream& stream);  // the stream is destroyed

// What StreamTable does with the work of a capturing stream.
void capture_work(Stream& stream, cudaGraphNodeType kind, Work work);
void capture_record(Stream& stream, Event& event);
void capture_wait(Stream& stream, Event& event);

// Throw, and spoil the captures concerned:
void refuse_implicit_dependency(const Stream& stream);  // the legacy stream is used while a blocking stream captures
void refuse_while_capturing(const Stream& stream);      // this stream is synchronised or queried
void refuse_while_capturing(const Event& event);
void refuse_during_any_capture();  // the whole device is synchronised
void refuse_unsafe_call();         // calls such as cudaMalloc, as the modes of this thread's and others' captures say

void forget_graphs();  // cudaDeviceReset

cudaStreamCaptureMode exchange_capture_mode(cudaStreamCaptureMode mode);  // this thread's

}  // namespace vigor::emulator
