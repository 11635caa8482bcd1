// Entry points: allocation, copies, fills and device variables.
#include <cuda_runtime_api.h>

#include "kernels/emulator/runtime/capture.h"
#include "kernels/emulator/runtime/copies.h"
#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"
#include "kernels/emulator/runtime/modules.h"

using namespace vigor::emulator;

namespace {

constexpr size_t kPitchAlignment = 512;

Stream& stream_of(cudaStream_t handle) { return stream_table().stream(handle); }
Stream& legacy_stream() { return stream_table().stream(nullptr); }

// Freeing waits for the device, as on a GPU.
void wait_before_free() {
  refuse_unsafe_call();
  stream_table().synchronize_all();
}

// [offset, offset + bytes) of a device variable.
std::byte* symbol_range(const void* symbol, size_t offset, size_t bytes) {
  const ModuleVariable variable = find_variable(symbol);
  require(offset <= variable.bytes && bytes <= variable.bytes - offset, cudaErrorInvalidValue);
  return reinterpret_cast<std::byte*>(variable.address) + offset;
}

void require_to_symbol(cudaMemcpyKind kind) {
  require(kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault,
          cudaErrorInvalidMemcpyDirection);
}

void require_from_symbol(cudaMemcpyKind kind) {
  require(kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault,
          cudaErrorInvalidMemcpyDirection);
}

}  // namespace

extern "C" {

// --- allocation ---

cudaError_t cudaMalloc(void** address, size_t bytes) {
  return entry([&] {
    require(address != nullptr, cudaErrorInvalidValue);
    refuse_unsafe_call();
    *address = bytes == 0 ? nullptr : allocate_device(bytes);
  });
}

cudaError_t cudaMallocPitch(void** address, size_t* pitch, size_t width, size_t height) {
  return entry([&] {
    require(address != nullptr && pitch != nullptr, cudaErrorInvalidValue);
    refuse_unsafe_call();
    *pitch = (width + kPitchAlignment - 1) / kPitchAlignment * kPitchAlignment;
    *address = width == 0 || height == 0 ? nullptr : allocate_device(*pitch * height);
  });
}

cudaError_t cudaFree(void* address) {
  return entry([&] {
    if (address == nullptr) return;
    wait_before_free();
    if (is_allocated_host(address, RangeKind::managed)) {
      free_host(address, RangeKind::managed);
    } else {
      free_device(address);
    }
  });
}

cudaError_t cudaMallocAsync(void** address, size_t bytes, cudaStream_t stream) {
  return entry([&] {
    require(address != nullptr, cudaErrorInvalidValue);
    if (stream_of(stream).capture) {
      throw CudaFailure{cudaErrorNotSupported, "cudaMallocAsync refused: allocations inside a graph are not emulated"};
    }
    *address = bytes == 0 ? nullptr : allocate_device(bytes);
  });
}

cudaError_t cudaMallocFromPoolAsync(void** address, size_t bytes, cudaMemPool_t, cudaStream_t stream) {
  return cudaMallocAsync(address, bytes, stream);
}

cudaError_t cudaFreeAsync(void* address, cudaStream_t handle) {
  return entry([&] {
    Stream& stream = stream_of(handle);
    if (stream.capture) {
      throw CudaFailure{cudaErrorNotSupported, "cudaFreeAsync refused: allocations inside a graph are not emulated"};
    }
    if (address == nullptr) return;
    const auto range = device_memory().find(reinterpret_cast<uint64_t>(address), 0);
    require(range && range->begin == reinterpret_cast<uint64_t>(address) && range->kind == RangeKind::device,
            cudaErrorInvalidValue);
    stream_table().issue(stream, cudaGraphNodeTypeMemFree, [=] { free_device(address); });
  });
}

cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  return entry([&] {
    require(address != nullptr, cudaErrorInvalidValue);
    refuse_unsafe_call();
    *address = bytes == 0 ? nullptr : allocate_host(bytes, RangeKind::pinned);
  });
}

cudaError_t cudaMallocHost(void** address, size_t bytes) { return cudaHostAlloc(address, bytes, cudaHostAllocDefault); }

cudaError_t cudaFreeHost(void* address) {
  return entry([&] {
    if (address == nullptr) return;
    wait_before_free();
    free_host(address, RangeKind::pinned);
  });
}

cudaError_t cudaHostRegister(void* address, size_t bytes, unsigned) {
  return entry([&] {
    refuse_unsafe_call();
    register_host(address, bytes);
  });
}

cudaError_t cudaHostUnregister(void* address) {
  return entry([&] {
    wait_before_free();
    unregister_host(address);
  });
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  return entry([&] {
    require(device != nullptr && is_allocated_host(host, RangeKind::pinned), cudaErrorInvalidValue);
    *device = host;
  });
}

cudaError_t cudaHostGetFlags(unsigned* flags, void* host) {
  return entry([&] {
    require(flags != nullptr && is_allocated_host(host, RangeKind::pinned), cudaErrorInvalidValue);
    *flags = cudaHostAllocMapped;
  });
}

cudaError_t cudaMallocManaged(void** address, size_t bytes, unsigned) {
  return entry([&] {
    require(address != nullptr && bytes > 0, cudaErrorInvalidValue);
    refuse_unsafe_call();
    *address = allocate_host(bytes, RangeKind::managed);
  });
}

cudaError_t cudaMemPrefetchAsync(const void* address, size_t bytes, cudaMemLocation, unsigned, cudaStream_t stream) {
  return entry([&] {
    stream_of(stream);
    require_range(address, bytes, "cudaMemPrefetchAsync");
  });
}

cudaError_t cudaMemAdvise(const void* address, size_t bytes, cudaMemoryAdvise, cudaMemLocation) {
  return entry([&] { require_range(address, bytes, "cudaMemAdvise"); });
}

cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  return entry([&] {
    require(available != nullptr && total != nullptr, cudaErrorInvalidValue);
    *total = device_memory().capacity();
    *available = *total - device_memory().bytes_in_use();
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  return entry([&] {
    require(attributes != nullptr, cudaErrorInvalidValue);
    *attributes = {};
    const auto range = device_memory().find(reinterpret_cast<uint64_t>(address), 0);
    if (!range) {
      attributes->type = cudaMemoryTypeUnregistered;
      attributes->device = -2;  // as the library says of memory it does not know
      attributes->hostPointer = const_cast<void*>(address);
      return;
    }
    const bool on_host = place_of(address).on_host;
    attributes->type = range->kind == RangeKind::managed  ? cudaMemoryTypeManaged
                       : range->kind == RangeKind::pinned ? cudaMemoryTypeHost
                                                          : cudaMemoryTypeDevice;
    attributes->devicePointer = const_cast<void*>(address);
    attributes->hostPointer = on_host ? const_cast<void*>(address) : nullptr;
  });
}

// --- copies ---

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return entry([&] { copy_now(legacy_stream(), to, from, {bytes}, kind); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return entry([&] { issue_copy(stream_of(stream), to, from, {bytes}, kind); });
}

cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  return entry([&] { copy_now(legacy_stream(), to, from, {width, height, to_pitch, from_pitch}, kind); });
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return entry([&] { issue_copy(stream_of(stream), to, from, {width, height, to_pitch, from_pitch}, kind); });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return entry([&] { issue_fill(legacy_stream(), to, value, {bytes}); });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return entry([&] { issue_fill(stream_of(stream), to, value, {bytes}); });
}

cudaError_t cudaMemset2D(void* to, size_t pitch, int value, size_t width, size_t height) {
  return entry([&] { issue_fill(legacy_stream(), to, value, {width, height, pitch}); });
}

cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return entry([&] { issue_fill(stream_of(stream), to, value, {width, height, pitch}); });
}

// --- device variables ---

cudaError_t cudaGetSymbolAddress(void** address, const void* symbol) {
  return entry([&] { *address = symbol_range(symbol, 0, 0); });
}

cudaError_t cudaGetSymbolSize(size_t* bytes, const void* symbol) {
  return entry([&] { *bytes = find_variable(symbol).bytes; });
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return entry([&] {
    require_to_symbol(kind);
    copy_now(legacy_stream(), symbol_range(symbol, offset, bytes), from, {bytes}, kind);
  });
}

cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return entry([&] {
    require_from_symbol(kind);
    copy_now(legacy_stream(), to, symbol_range(symbol, offset, bytes), {bytes}, kind);
  });
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  return entry([&] {
    require_to_symbol(kind);
    issue_copy(stream_of(stream), symbol_range(symbol, offset, bytes), from, {bytes}, kind);
  });
}

cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  return entry([&] {
    require_from_symbol(kind);
    issue_copy(stream_of(stream), to, symbol_range(symbol, offset, bytes), {bytes}, kind);
  });
}

}  // extern "C"
