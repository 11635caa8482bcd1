// Entry points: streams and events.
#include <cuda_runtime_api.h>

#include <algorithm>

#include "kernels/emulator/runtime/capture.h"
#include "kernels/emulator/runtime/errors.h"
#include "kernels/emulator/runtime/streams.h"

using namespace vigor::emulator;

namespace {

constexpr int kLeastPriority = 0, kGreatestPriority = -5;

Stream& stream_of(cudaStream_t handle) { return stream_table().stream(handle); }

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return entry([&] {
    require(stream != nullptr && (flags & ~unsigned{cudaStreamNonBlocking}) == 0, cudaErrorInvalidValue);
    // Out-of-range priorities are moved into the range, as documented.
    *stream = stream_table().create_stream(flags, std::clamp(priority, kGreatestPriority, kLeastPriority));
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, kLeastPriority);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return entry([&] { stream_table().destroy_stream(stream); });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return entry([&] {
    if (least != nullptr) *least = kLeastPriority;
    if (greatest != nullptr) *greatest = kGreatestPriority;
  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  return entry([&] { *flags = stream_of(stream).flags; });
}

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return entry([&] { *priority = stream_of(stream).priority; });
}

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  return entry([&] { *id = stream_of(stream).id; });
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  return entry([&] {
    stream_of(stream);
    *device = 0;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return entry([&] {
    Stream& stream = stream_of(handle);
    refuse_while_capturing(stream);
    refuse_unsafe_call();
    stream_table().synchronize(stream);
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  bool done = false;
  const cudaError_t code = entry([&] {
    Stream& stream = stream_of(handle);
    refuse_while_capturing(stream);
    refuse_unsafe_call();
    done = stream_table().poll(stream);
  });
  return code != cudaSuccess || done ? code : remember(cudaErrorNotReady);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return entry([&] { stream_table().wait(stream_of(stream), stream_table().event(event)); });
}

cudaError_t cudaStreamAddCallback(cudaStream_t handle, cudaStreamCallback_t callback, void* data, unsigned flags) {
  return entry([&] {
    require(callback != nullptr && flags == 0, cudaErrorInvalidValue);
    Stream& stream = stream_of(handle);
    require(stream.capture == nullptr, cudaErrorStreamCaptureUnsupported);
    stream_table().issue(stream, cudaGraphNodeTypeHost, [=] {
      in_host_function() = true;
      callback(handle, cudaSuccess, data);
      in_host_function() = false;
    });
  });
}

cudaError_t cudaStreamAttachMemAsync(cudaStream_t stream, void*, size_t, unsigned) {
  return entry([&] { stream_of(stream); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return entry([&] {
    require(event != nullptr, cudaErrorInvalidValue);
    require((flags & cudaEventInterprocess) == 0, cudaErrorNotSupported);
    *event = stream_table().create_event((flags & cudaEventDisableTiming) == 0);
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return entry([&] { stream_table().destroy_event(event); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return entry([&] { stream_table().record(stream_of(stream), stream_table().event(event)); });
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return entry([&] {
    Event& event = stream_table().event(handle);
    refuse_while_capturing(event);
    refuse_unsafe_call();
    stream_table().synchronize(event);
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  bool done = false;
  const cudaError_t code = entry([&] {
    Event& event = stream_table().event(handle);
    refuse_while_capturing(event);
    refuse_unsafe_call();
    done = stream_table().poll(event);
  });
  return code != cudaSuccess || done ? code : remember(cudaErrorNotReady);
}

// The time that the CPU took for the work between; no measure of any GPU.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  bool done = false;
  const cudaError_t code = entry([&] {
    const Event &first = stream_table().event(begin), &second = stream_table().event(end);
    refuse_while_capturing(first);
    refuse_while_capturing(second);
    require(first.timing && second.timing && first.latest && second.latest, cudaErrorInvalidResourceHandle);
    done = first.latest->reached && second.latest->reached;
    if (done) *milliseconds = static_cast<float>(second.latest->reached_at_ms - first.latest->reached_at_ms);
  });
  return code != cudaSuccess || done ? code : remember(cudaErrorNotReady);
}

}  // extern "C"
