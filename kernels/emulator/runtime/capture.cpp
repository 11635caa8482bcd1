#include "kernels/emulator/runtime/capture.h"

#include <algorithm>
#include <set>
#include <utility>

#include "kernels/emulator/launch.h"
#include "kernels/emulator/runtime/errors.h"

namespace vigor::emulator {
namespace {

thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

template <typename Action>
void for_each_capture(Action&& action) {
  for (const auto& stream : stream_table().all()) {
    if (stream->capture && stream->capture->origin == stream.get()) action(*stream->capture);
  }
}

[[noreturn]] void spoil(Capture& capture, cudaError_t code) {
  capture.valid = false;
  throw CudaFailure{code};
}

void require_valid(const Capture& capture) { require(capture.valid, cudaErrorStreamCaptureInvalidated); }

void merge(std::vector<int>& into, const std::vector<int>& nodes) {
  std::set<int> all(into.begin(), into.end());
  all.insert(nodes.begin(), nodes.end());
  into.assign(all.begin(), all.end());
}

// Everything that happens before `nodes` have run, themselves included.
std::set<int> ancestors(const Graph& graph, const std::vector<int>& nodes) {
  std::set<int> seen(nodes.begin(), nodes.end());
  std::vector<int> open(nodes);
  while (!open.empty()) {
    const int node = open.back();
    open.pop_back();
    for (const int before : graph.nodes[static_cast<size_t>(node)]->dependencies) {
      if (seen.insert(before).second) open.push_back(before);
    }
  }
  return seen;
}

}  // namespace

int Graph::add(cudaGraphNodeType kind, Work work, std::vector<int> dependencies) {
  nodes.push_back(std::make_shared<GraphNode>(GraphNode{kind, std::move(work), std::move(dependencies)}));
  return static_cast<int>(nodes.size()) - 1;
}

int Graph::index_of(cudaGraphNode_t handle) const {
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (reinterpret_cast<cudaGraphNode_t>(nodes[i].get()) == handle) return static_cast<int>(i);
  }
  throw CudaFailure{cudaErrorInvalidValue};
}

Graph Graph::clone() const {
  Graph copy;
  for (const auto& node : nodes) copy.nodes.push_back(std::make_shared<GraphNode>(*node));
  return copy;
}

void Graph::run() const {
  const auto seed = LaunchOptions::from_environment().order_seed;
  std::mt19937_64 random(seed.value_or(0));
  std::vector<bool> done(nodes.size(), false);
  for (size_t count = 0; count < nodes.size(); ++count) {
    size_t next = count;
    if (seed) {
      std::vector<size_t> ready;
      for (size_t i = 0; i < nodes.size(); ++i) {
        const auto& before = nodes[i]->dependencies;
        const auto is_done = [&](int node) { return done[static_cast<size_t>(node)]; };
        if (!done[i] && std::all_of(before.begin(), before.end(), is_done)) ready.push_back(i);
      }
      next = ready[std::uniform_int_distribution<size_t>(0, ready.size() - 1)(random)];
    }
    done[next] = true;
    if (nodes[next]->work) nodes[next]->work();
  }
}

void begin_capture(Stream& stream, cudaStreamCaptureMode mode) {
  require(!stream.is_legacy, cudaErrorStreamCaptureUnsupported);
  require(!stream.capture, cudaErrorIllegalState);
  static uint64_t captures = 0;
  auto capture = std::make_shared<Capture>();
  capture->id = ++captures;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = &stream;
  capture->graph = std::make_shared<Graph>();
  stream.capture = std::move(capture);
  stream.capture_nodes.clear();
}

std::shared_ptr<Graph> end_capture(Stream& stream) {
  require(stream.capture != nullptr, cudaErrorIllegalState);
  const std::shared_ptr<Capture> capture = stream.capture;
  require(capture->mode == cudaStreamCaptureModeRelaxed || capture->thread == std::this_thread::get_id(),
          cudaErrorStreamCaptureWrongThread);
  if (capture->origin != &stream) spoil(*capture, cudaErrorStreamCaptureUnmatched);

  const std::set<int> joined = ancestors(*capture->graph, stream.capture_nodes);
  bool all_joined = true;
  for (const auto& other : stream_table().all()) {
    if (other->capture != capture) continue;
    const auto is_joined = [&](int node) { return joined.contains(node); };
    all_joined = all_joined && std::all_of(other->capture_nodes.begin(), other->capture_nodes.end(), is_joined);
    other->capture.reset();
    other->capture_nodes.clear();
  }
  require_valid(*capture);
  require(all_joined, cudaErrorStreamCaptureUnjoined);
  return capture->graph;
}

void abandon_capture(Stream& stream) {
  const std::shared_ptr<Capture> capture = stream.capture;
  capture->valid = false;
  for (const auto& other : stream_table().all()) {
    if (other->capture == capture && (capture->origin == &stream || other.get() == &stream)) other->capture.reset();
  }
}

void capture_work(Stream& stream, cudaGraphNodeType kind, Work work) {
  require_valid(*stream.capture);
  stream.capture_nodes = {stream.capture->graph->add(kind, std::move(work), stream.capture_nodes)};
}

void capture_record(Stream& stream, Event& event) {
  require_valid(*stream.capture);
  event.capture = stream.capture;
  event.capture_nodes = stream.capture_nodes;
}

void capture_wait(Stream& stream, Event& event) {
  const std::shared_ptr<Capture> theirs = event.capture.lock();
  if (theirs == nullptr) spoil(*stream.capture, cudaErrorStreamCaptureIsolation);  // recorded outside of any capture
  require_valid(*theirs);
  if (stream.capture == nullptr) {
    require(!stream.is_legacy, cudaErrorStreamCaptureImplicit);
    stream.capture = theirs;  // the stream joins
    stream.capture_nodes.clear();
  }
  if (stream.capture != theirs) {
    theirs->valid = false;
    spoil(*stream.capture, cudaErrorStreamCaptureMerge);
  }
  merge(stream.capture_nodes, event.capture_nodes);
}

void refuse_implicit_dependency(const Stream& stream) {
  if (!stream.is_legacy) return;
  for (const auto& other : stream_table().all()) {
    if (other->capture && other->blocking()) spoil(*other->capture, cudaErrorStreamCaptureImplicit);
  }
}

void refuse_while_capturing(const Stream& stream) {
  if (stream.capture) spoil(*stream.capture, cudaErrorStreamCaptureUnsupported);
  refuse_implicit_dependency(stream);
}

void refuse_while_capturing(const Event& event) {
  if (const auto capture = event.capture.lock()) spoil(*capture, cudaErrorCapturedEvent);
}

void refuse_during_any_capture() {
  bool any = false;
  for_each_capture([&](Capture& capture) {
    capture.valid = false;
    any = true;
  });
  require(!any, cudaErrorStreamCaptureUnsupported);
}

void refuse_unsafe_call() {
  bool refused = false;
  for_each_capture([&](Capture& capture) {
    const bool mine = capture.thread == std::this_thread::get_id();
    const bool strict = mine
                            ? capture.mode != cudaStreamCaptureModeRelaxed
                            : capture.mode == cudaStreamCaptureModeGlobal && thread_mode == cudaStreamCaptureModeGlobal;
    if (strict && thread_mode != cudaStreamCaptureModeRelaxed) {
      capture.valid = false;
      refused = true;
    }
  });
  require(!refused, cudaErrorStreamCaptureUnsupported);
}

cudaStreamCaptureMode exchange_capture_mode(cudaStreamCaptureMode mode) { return std::exchange(thread_mode, mode); }

}  // namespace vigor::emulator
