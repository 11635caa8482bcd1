#include <algorithm>
#include <cstdio>
#include <cstring>

#include "kernels/emulator/launch.h"
#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"

namespace vigor::emulator {
namespace {

// A plausible small GPU of compute capability 8.0, whose PTX it executes, whatever the shared-memory profile.
constexpr int kMajor = 8, kMinor = 0;
constexpr int kMultiprocessors = 16, kWarp = 32;
constexpr int kBlockThreads = 1024, kMultiprocessorThreads = 1536, kMultiprocessorBlocks = 16;
constexpr int kRegisters = 64 << 10;
constexpr int kL2Bytes = 4 << 20, kConstantBytes = 64 << 10, kMemoryBusBits = 128;
constexpr int kGridLimit[3] = {2147483647, 65535, 65535}, kBlockLimit[3] = {1024, 1024, 64};
constexpr int kClockKhz = 1500000, kMemoryClockKhz = 8000000;

size_t shared_memory_per_multiprocessor() { return shared_memory_optin() + kSharedMemoryReserved; }

}  // namespace

size_t shared_memory_optin() { return LaunchOptions::from_environment().shared_limit_bytes; }

cudaDeviceProp device_properties() {
  cudaDeviceProp p;
  std::memset(&p, 0, sizeof p);
  std::snprintf(p.name, sizeof p.name, "Vigor emulated device (%zu KB shared memory)", shared_memory_optin() >> 10);
  std::memcpy(p.uuid.bytes, "vigor-emulated-0", sizeof p.uuid.bytes);
  p.totalGlobalMem = device_memory().capacity();
  p.sharedMemPerBlock = kSharedMemoryDefault;
  p.sharedMemPerBlockOptin = shared_memory_optin();
  p.sharedMemPerMultiprocessor = shared_memory_per_multiprocessor();
  p.reservedSharedMemPerBlock = kSharedMemoryReserved;
  p.regsPerBlock = p.regsPerMultiprocessor = kRegisters;
  p.warpSize = kWarp;
  p.memPitch = 2147483647;
  p.maxThreadsPerBlock = kBlockThreads;
  std::copy(std::begin(kBlockLimit), std::end(kBlockLimit), p.maxThreadsDim);
  std::copy(std::begin(kGridLimit), std::end(kGridLimit), p.maxGridSize);
  p.totalConstMem = kConstantBytes;
  p.major = kMajor;
  p.minor = kMinor;
  p.textureAlignment = 512;
  p.texturePitchAlignment = 32;
  p.multiProcessorCount = kMultiprocessors;
  p.canMapHostMemory = 1;
  p.concurrentKernels = 1;
  p.asyncEngineCount = 1;
  p.unifiedAddressing = 1;
  p.memoryBusWidth = kMemoryBusBits;
  p.l2CacheSize = kL2Bytes;
  p.maxThreadsPerMultiProcessor = kMultiprocessorThreads;
  p.maxBlocksPerMultiProcessor = kMultiprocessorBlocks;
  p.streamPrioritiesSupported = 1;
  p.globalL1CacheSupported = p.localL1CacheSupported = 1;
  p.managedMemory = 1;
  p.canUseHostPointerForRegisteredMem = 1;
  p.hostRegisterSupported = 1;
  p.memoryPoolsSupported = 1;
  p.hostNumaId = -1;
  return p;
}

int device_attribute(cudaDeviceAttr attribute) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      return kBlockThreads;
    case cudaDevAttrMaxBlockDimX:
      return kBlockLimit[0];
    case cudaDevAttrMaxBlockDimY:
      return kBlockLimit[1];
    case cudaDevAttrMaxBlockDimZ:
      return kBlockLimit[2];
    case cudaDevAttrMaxGridDimX:
      return kGridLimit[0];
    case cudaDevAttrMaxGridDimY:
      return kGridLimit[1];
    case cudaDevAttrMaxGridDimZ:
      return kGridLimit[2];
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return static_cast<int>(kSharedMemoryDefault);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(shared_memory_optin());
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(shared_memory_per_multiprocessor());
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return static_cast<int>(kSharedMemoryReserved);
    case cudaDevAttrTotalConstantMemory:
      return kConstantBytes;
    case cudaDevAttrWarpSize:
      return kWarp;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return kRegisters;
    case cudaDevAttrClockRate:
      return kClockKhz;
    case cudaDevAttrMemoryClockRate:
      return kMemoryClockKhz;
    case cudaDevAttrGlobalMemoryBusWidth:
      return kMemoryBusBits;
    case cudaDevAttrL2CacheSize:
      return kL2Bytes;
    case cudaDevAttrMultiProcessorCount:
      return kMultiprocessors;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return kMultiprocessorThreads;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return kMultiprocessorBlocks;
    case cudaDevAttrComputeCapabilityMajor:
      return kMajor;
    case cudaDevAttrComputeCapabilityMinor:
      return kMinor;
    case cudaDevAttrMaxPitch:
      return 2147483647;
    case cudaDevAttrTextureAlignment:
      return 512;
    case cudaDevAttrTexturePitchAlignment:
      return 32;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrAsyncEngineCount:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrGlobalL1CacheSupported:
    case cudaDevAttrLocalL1CacheSupported:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrCanUseHostPointerForRegisteredMem:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrMemoryPoolsSupported:
      return 1;
    // What this device does not do, stated rather than refused: programs ask before they use it.
    case cudaDevAttrComputeMode:  // 0: several processes may share the device
    case cudaDevAttrGpuOverlap:
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrIntegrated:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrPciBusId:
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId:
    case cudaDevAttrTccDriver:
    case cudaDevAttrIsMultiGpuBoard:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrComputePreemptionSupported:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrClusterLaunch:
    case cudaDevAttrDirectManagedMemAccessFromHost:
    case cudaDevAttrPageableMemoryAccessUsesHostPageTables:
    case cudaDevAttrHostNativeAtomicSupported:
    case cudaDevAttrMaxPersistingL2CacheSize:
    case cudaDevAttrMaxAccessPolicyWindowSize:
      return 0;
    case cudaDevAttrSingleToDoublePrecisionPerfRatio:
      return 32;
    default:
      throw CudaFailure{cudaErrorInvalidValue};
  }
}

int blocks_per_multiprocessor(int block_threads, size_t shared_bytes) {
  if (block_threads <= 0 || block_threads > kBlockThreads || shared_bytes > shared_memory_optin()) return 0;
  const int warps = (block_threads + kWarp - 1) / kWarp;
  const int by_threads = kMultiprocessorThreads / kWarp / warps;
  const auto by_shared = static_cast<int>(shared_memory_per_multiprocessor() / (shared_bytes + kSharedMemoryReserved));
  return std::min({kMultiprocessorBlocks, by_threads, by_shared});
}

}  // namespace vigor::emulator
