#pragma once
// Streams, events and the order in which work runs.
//
// Nothing runs when it is issued: each stream keeps a queue, and work runs when the host waits for it (or, with
// CUDA_LAUNCH_BLOCKING=1, at once). So a host that reads a result without waiting reads the old bytes here, always,
// where a GPU only sometimes shows the mistake; and of two streams without an event between them the one that is
// waited for runs first, whatever the order of the calls. With VIGOR_EMULATOR_WARP_ORDER=<seed> the choice among
// streams is random too. A host that spins on pinned memory, without a call that waits or queries, spins forever: it
// needs CUDA_LAUNCH_BLOCKING=1.
//
// Everything here is called under runtime_lock().
#include <driver_types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace vigor::emulator {

// What a launch, a copy, a fill or a host function does when its turn comes; a captured one does it at every replay.
// Throws Fault or CudaFailure.
using Work = std::function<void()>;

struct Capture;  // capture.h

// One cudaEventRecord. Who waits for an event waits for the record that was the latest when it began to wait.
struct Record {
  bool reached = false;
  double reached_at_ms = 0;
};

struct Event {
  bool timing = true;
  std::shared_ptr<Record> latest;  // null: never recorded

  // The last record was inside a capture: it stands for these nodes of it, and has no time.
  std::weak_ptr<Capture> capture;
  std::vector<int> capture_nodes;
};

struct Stream {
  enum class EntryKind { work, record, wait };
  struct Entry {
    EntryKind kind;
    Work work;                       // of work
    std::shared_ptr<Record> record;  // of record and wait
    uint64_t order = 0;              // position among all entries ever issued
  };

  unsigned flags = 0;
  int priority = 0;
  uint64_t id = 0;
  bool is_legacy = false;
  std::deque<Entry> queue;

  std::shared_ptr<Capture> capture;  // null: not capturing
  std::vector<int> capture_nodes;    // the next captured node depends on these

  // Work of a blocking stream and of the legacy stream wait for each other, in the order they were issued.
  bool blocking() const { return !is_legacy && (flags & cudaStreamNonBlocking) == 0; }
};

class StreamTable {
 public:
  StreamTable() { clear(); }

  // The stream behind a handle: null and cudaStreamLegacy are the legacy stream, cudaStreamPerThread this thread's.
  // Throws cudaErrorInvalidResourceHandle for a destroyed or foreign handle.
  Stream& stream(cudaStream_t handle);
  cudaStream_t create_stream(unsigned flags, int priority);
  void destroy_stream(cudaStream_t handle);  // runs what is queued first

  Event& event(cudaEvent_t handle);
  cudaEvent_t create_event(bool timing);
  void destroy_event(cudaEvent_t handle);

  // These three put something at the end of a stream's queue, or into the graph that the stream captures.
  void issue(Stream& stream, cudaGraphNodeType kind, Work work);
  void record(Stream& stream, Event& event);
  void wait(Stream& stream, Event& event);
  // Bookkeeping that is no work of the program: never part of a graph.
  void issue_uncaptured(Stream& stream, Work work) {
    append(stream, {Stream::EntryKind::work, std::move(work), nullptr});
  }

  void synchronize(Stream& stream);
  void synchronize(Event& event);
  void synchronize_all();
  // Runs one entry, if one is left that this waits for; true when nothing is. A host that polls gets there.
  bool poll(Stream& stream);
  bool poll(Event& event);

  void drop_queued_work();  // after a fault
  void clear();             // cudaDeviceReset: all streams, events and queues

  const std::vector<std::unique_ptr<Stream>>& all() const { return streams_; }  // [0] is the legacy stream

 private:
  void append(Stream& stream, Stream::Entry entry);
  bool runnable(const Stream& stream) const;
  void run_one(Stream* target);

  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<std::unique_ptr<Event>> events_;
  uint64_t entries_ = 0, ids_ = 0;
  std::optional<uint64_t> seed_;
  std::mt19937_64 random_;
};

StreamTable& stream_table();

}  // namespace vigor::emulator
