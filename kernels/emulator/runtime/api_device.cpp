// Entry points: errors, the device and its limits.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "kernels/emulator/runtime/capture.h"
#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"
#include "kernels/emulator/runtime/modules.h"
#include "kernels/emulator/runtime/streams.h"

using namespace vigor::emulator;

namespace {

constexpr int kVersion = 13000;
constexpr const char* kPciBusId = "0000:00:00.0";

void require_device(int device) { require(device == 0, cudaErrorInvalidDevice); }

// Handle of the one memory pool, which cudaMallocAsync takes from.
cudaMemPool_t default_pool() {
  static int pool = 0;
  return reinterpret_cast<cudaMemPool_t>(&pool);
}

}  // namespace

extern "C" {

// --- errors: these answer after a sticky error too ---

const char* cudaGetErrorName(cudaError_t code) { return error_name(code); }
const char* cudaGetErrorString(cudaError_t code) { return error_text(code); }
cudaError_t cudaGetLastError() { return take_last_error(); }
cudaError_t cudaPeekAtLastError() { return peek_last_error(); }

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return remember(cudaErrorInvalidValue);
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }

// --- the device ---

cudaError_t cudaGetDeviceCount(int* count) {
  return entry([&] {
    require(count != nullptr, cudaErrorInvalidValue);
    *count = 1;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return entry([&] {
    require(device != nullptr, cudaErrorInvalidValue);
    *device = 0;
  });
}

cudaError_t cudaSetDevice(int device) {
  return entry([&] { require_device(device); });
}

cudaError_t cudaInitDevice(int device, unsigned, unsigned) { return cudaSetDevice(device); }

cudaError_t cudaChooseDevice(int* device, const cudaDeviceProp*) { return cudaGetDevice(device); }

cudaError_t cudaSetDeviceFlags(unsigned) {
  return entry([] {});
}

cudaError_t cudaGetDeviceFlags(unsigned* flags) {
  return entry([&] { *flags = cudaDeviceScheduleAuto; });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return entry([&] {
    require(properties != nullptr, cudaErrorInvalidValue);
    require_device(device);
    *properties = device_properties();
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return entry([&] {
    require(value != nullptr, cudaErrorInvalidValue);
    require_device(device);
    *value = device_attribute(attribute);
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  return entry([&] {
    require(text != nullptr && length > static_cast<int>(std::strlen(kPciBusId)), cudaErrorInvalidValue);
    require_device(device);
    std::snprintf(text, static_cast<size_t>(length), "%s", kPciBusId);
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return entry([&] {
    require_device(device);
    require_device(peer);
    *can = 0;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return entry([] {
    refuse_during_any_capture();
    stream_table().synchronize_all();
    std::fflush(stdout);  // a kernel's printf appears at the latest now
  });
}

cudaError_t cudaDeviceReset() {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  if (sticky_error() == cudaSuccess) {
    if (const cudaError_t code = cudaDeviceSynchronize(); code != cudaSuccess && sticky_error() == cudaSuccess)
      return code;
  }
  stream_table().clear();
  forget_graphs();
  free_everything();
  reload_modules();
  set_sticky_error(cudaSuccess);
  clear_last_error();
  return cudaSuccess;
}

cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
  return entry([&] {
    require(value != nullptr, cudaErrorInvalidValue);
    switch (limit) {
      case cudaLimitStackSize:
        *value = 1 << 10;
        break;
      case cudaLimitPrintfFifoSize:
        *value = 1 << 20;
        break;
      case cudaLimitMallocHeapSize:
        *value = 8 << 20;
        break;
      default:
        throw CudaFailure{cudaErrorUnsupportedLimit};
    }
  });
}

// Stacks and the printf buffer have no limit here, so that any is accepted.
cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t) {
  return entry([&] {
    require(limit == cudaLimitStackSize || limit == cudaLimitPrintfFifoSize || limit == cudaLimitMallocHeapSize,
            cudaErrorUnsupportedLimit);
  });
}

cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* config) {
  return entry([&] { *config = cudaFuncCachePreferNone; });
}

cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) {
  return entry([] {});
}

cudaError_t cudaProfilerStart() {
  return entry([] {});
}

cudaError_t cudaProfilerStop() {
  return entry([] {});
}

// --- the memory pool: it keeps nothing, so its settings change nothing ---

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return entry([&] {
    require_device(device);
    *pool = default_pool();
  });
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) { return cudaDeviceGetDefaultMemPool(pool, device); }

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr, void*) {
  return entry([&] { require(pool == default_pool(), cudaErrorInvalidValue); });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t) {
  return entry([&] { require(pool == default_pool(), cudaErrorInvalidValue); });
}

// No driver functions: a program that asks for one is told so, as it is by an old driver.
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* status) {
  return entry([&] {
    require(function != nullptr, cudaErrorInvalidValue);
    *function = nullptr;
    if (status != nullptr) *status = cudaDriverEntryPointSymbolNotFound;
  });
}

}  // extern "C"
