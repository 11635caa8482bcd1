#include "kernels/emulator/runtime/streams.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "kernels/emulator/launch.h"
#include "kernels/emulator/runtime/capture.h"
#include "kernels/emulator/runtime/errors.h"

namespace vigor::emulator {
namespace {

// As many launches as a GPU's queue holds; the call that issues one more waits for the oldest.
constexpr size_t kQueueLength = 1024;

double now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

bool launch_blocking() {
  const char* value = std::getenv("CUDA_LAUNCH_BLOCKING");
  return value != nullptr && std::strcmp(value, "1") == 0;
}

thread_local Stream* per_thread_stream = nullptr;
thread_local uint64_t per_thread_stream_id = 0;

}  // namespace

StreamTable& stream_table() {
  static auto* table = new StreamTable;  // never destroyed, as runtime_lock()
  return *table;
}

void StreamTable::clear() {
  streams_.clear();
  events_.clear();
  auto legacy = std::make_unique<Stream>();
  legacy->is_legacy = true;
  legacy->id = ++ids_;
  streams_.push_back(std::move(legacy));
}

void StreamTable::drop_queued_work() {
  for (const auto& stream : streams_) stream->queue.clear();
}

Stream& StreamTable::stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return *streams_[0];
  if (handle == cudaStreamPerThread) {
    // The address alone could be a later stream's, after cudaDeviceReset.
    const auto is_mine = [](const auto& s) { return s.get() == per_thread_stream && s->id == per_thread_stream_id; };
    if (std::none_of(streams_.begin(), streams_.end(), is_mine)) {
      per_thread_stream = reinterpret_cast<Stream*>(create_stream(cudaStreamDefault, 0));
      per_thread_stream_id = per_thread_stream->id;
    }
    return *per_thread_stream;
  }
  for (const auto& stream : streams_) {
    if (reinterpret_cast<cudaStream_t>(stream.get()) == handle) return *stream;
  }
  throw CudaFailure{cudaErrorInvalidResourceHandle};
}

cudaStream_t StreamTable::create_stream(unsigned flags, int priority) {
  auto stream = std::make_unique<Stream>();
  stream->flags = flags;
  stream->priority = priority;
  stream->id = ++ids_;
  streams_.push_back(std::move(stream));
  return reinterpret_cast<cudaStream_t>(streams_.back().get());
}

void StreamTable::destroy_stream(cudaStream_t handle) {
  require(handle != nullptr && handle != cudaStreamLegacy && handle != cudaStreamPerThread,
          cudaErrorInvalidResourceHandle);
  Stream& doomed = stream(handle);
  if (doomed.capture) abandon_capture(doomed);
  synchronize(doomed);
  std::erase_if(streams_, [&](const auto& s) { return s.get() == &doomed; });
}

Event& StreamTable::event(cudaEvent_t handle) {
  for (const auto& event : events_) {
    if (reinterpret_cast<cudaEvent_t>(event.get()) == handle) return *event;
  }
  throw CudaFailure{cudaErrorInvalidResourceHandle};
}

cudaEvent_t StreamTable::create_event(bool timing) {
  events_.push_back(std::make_unique<Event>());
  events_.back()->timing = timing;
  return reinterpret_cast<cudaEvent_t>(events_.back().get());
}

void StreamTable::destroy_event(cudaEvent_t handle) {
  const Event& doomed = event(handle);
  std::erase_if(events_, [&](const auto& e) { return e.get() == &doomed; });
}

void StreamTable::append(Stream& stream, Stream::Entry entry) {
  entry.order = ++entries_;
  stream.queue.push_back(std::move(entry));
  if (launch_blocking()) synchronize(stream);
  while (stream.queue.size() > kQueueLength) run_one(&stream);
}

void StreamTable::issue(Stream& stream, cudaGraphNodeType kind, Work work) {
  refuse_implicit_dependency(stream);
  if (stream.capture) {
    capture_work(stream, kind, std::move(work));
  } else {
    append(stream, {Stream::EntryKind::work, std::move(work), nullptr});
  }
}

void StreamTable::record(Stream& stream, Event& event) {
  refuse_implicit_dependency(stream);
  if (stream.capture) {
    capture_record(stream, event);
    return;
  }
  event.capture.reset();
  event.capture_nodes.clear();
  event.latest = std::make_shared<Record>();
  append(stream, {Stream::EntryKind::record, {}, event.latest});
}

void StreamTable::wait(Stream& stream, Event& event) {
  refuse_implicit_dependency(stream);
  if (stream.capture || !event.capture.expired()) {
    capture_wait(stream, event);
  } else if (event.latest != nullptr) {
    append(stream, {Stream::EntryKind::wait, {}, event.latest});
  }
}

bool StreamTable::runnable(const Stream& stream) const {
  if (stream.queue.empty()) return false;
  const Stream::Entry& front = stream.queue.front();
  if (front.kind == Stream::EntryKind::wait && !front.record->reached) return false;
  const auto has_earlier = [&](const Stream& other) {
    return !other.queue.empty() && other.queue.front().order < front.order;
  };
  if (stream.is_legacy) {
    return std::none_of(streams_.begin(), streams_.end(),
                        [&](const auto& s) { return s->blocking() && has_earlier(*s); });
  }
  return !stream.blocking() || !has_earlier(*streams_[0]);
}

// Runs one entry so that `target` (null: any stream) gets on: its own front if that can run, else the oldest front that
// can. There is always one, since an entry only waits for earlier ones.
void StreamTable::run_one(Stream* target) {
  std::vector<Stream*> ready;
  for (const auto& stream : streams_) {
    if (runnable(*stream)) ready.push_back(stream.get());
  }
  if (ready.empty()) return;
  Stream* chosen = target != nullptr && runnable(*target) ? target : nullptr;
  if (ready.size() > 1) {
    if (const auto seed = LaunchOptions::from_environment().order_seed) {
      if (seed != seed_) random_.seed(*seed);
      seed_ = seed;
      chosen = ready[std::uniform_int_distribution<size_t>(0, ready.size() - 1)(random_)];
    }
  }
  if (chosen == nullptr) {
    chosen = *std::min_element(ready.begin(), ready.end(), [](const Stream* a, const Stream* b) {
      return a->queue.front().order < b->queue.front().order;
    });
  }
  const Stream::Entry entry = std::move(chosen->queue.front());
  chosen->queue.pop_front();
  if (entry.kind == Stream::EntryKind::work) entry.work();
  if (entry.kind == Stream::EntryKind::record) *entry.record = {true, now_ms()};
}

void StreamTable::synchronize(Stream& stream) {
  // Waiting for the legacy stream is waiting for the blocking streams too: an empty entry at its end gathers them.
  if (stream.is_legacy) {
    stream.queue.push_back({Stream::EntryKind::work, [] {}, nullptr, ++entries_});
  }
  while (!stream.queue.empty()) run_one(&stream);
}

void StreamTable::synchronize(Event& event) {
  while (!poll(event)) {
  }
}

void StreamTable::synchronize_all() {
  const auto pending = [&] {
    return std::any_of(streams_.begin(), streams_.end(), [](const auto& s) { return !s->queue.empty(); });
  };
  while (pending()) run_one(nullptr);
}

bool StreamTable::poll(Stream& stream) {
  if (!stream.queue.empty()) run_one(&stream);
  return stream.queue.empty();
}

bool StreamTable::poll(Event& event) {
  if (event.latest == nullptr || event.latest->reached) return true;
  for (const auto& stream : streams_) {
    const auto is_it = [&](const Stream::Entry& e) {
      return e.kind == Stream::EntryKind::record && e.record == event.latest;
    };
    if (std::any_of(stream->queue.begin(), stream->queue.end(), is_it)) {
      run_one(stream.get());
      break;
    }
  }
  return event.latest->reached;
}

}  // namespace vigor::emulator
