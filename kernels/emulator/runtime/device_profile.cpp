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
constexpr int kMaxPitch = 2147483647, kTextureAlignment = 512, kTexturePitchAlignment = 32;
constexpr int kClockKhz = 1500000, kMemoryClockKhz = 8000000;

struct AttributeValue {
  cudaDeviceAttr attribute;
  int value;
};

constexpr AttributeValue kAttributes[] = {
    {cudaDevAttrMaxThreadsPerBlock, kBlockThreads},
    {cudaDevAttrMaxBlockDimX, kBlockLimit[0]},
    {cudaDevAttrMaxBlockDimY, kBlockLimit[1]},
    {cudaDevAttrMaxBlockDimZ, kBlockLimit[2]},
    {cudaDevAttrMaxGridDimX, kGridLimit[0]},
    {cudaDevAttrMaxGridDimY, kGridLimit[1]},
    {cudaDevAttrMaxGridDimZ, kGridLimit[2]},
    {cudaDevAttrMaxSharedMemoryPerBlock, static_cast<int>(kSharedMemoryDefault)},
    {cudaDevAttrReservedSharedMemoryPerBlock, static_cast<int>(kSharedMemoryReserved)},
    {cudaDevAttrTotalConstantMemory, kConstantBytes},
    {cudaDevAttrWarpSize, kWarp},
    {cudaDevAttrMaxRegistersPerBlock, kRegisters},
    {cudaDevAttrMaxRegistersPerMultiprocessor, kRegisters},
    {cudaDevAttrClockRate, kClockKhz},
    {cudaDevAttrMemoryClockRate, kMemoryClockKhz},
    {cudaDevAttrGlobalMemoryBusWidth, kMemoryBusBits},
    {cudaDevAttrL2CacheSize, kL2Bytes},
    {cudaDevAttrMultiProcessorCount, kMultiprocessors},
    {cudaDevAttrMaxThreadsPerMultiProcessor, kMultiprocessorThreads},
    {cudaDevAttrMaxBlocksPerMultiprocessor, kMultiprocessorBlocks},
    {cudaDevAttrComputeCapabilityMajor, kMajor},
    {cudaDevAttrComputeCapabilityMinor, kMinor},
    {cudaDevAttrMaxPitch, kMaxPitch},
    {cudaDevAttrTextureAlignment, kTextureAlignment},
    {cudaDevAttrTexturePitchAlignment, kTexturePitchAlignment},
    {cudaDevAttrSingleToDoublePrecisionPerfRatio, 32},
    {cudaDevAttrCanMapHostMemory, 1},
    {cudaDevAttrConcurrentKernels, 1},
    {cudaDevAttrAsyncEngineCount, 1},
    {cudaDevAttrUnifiedAddressing, 1},
    {cudaDevAttrStreamPrioritiesSupported, 1},
    {cudaDevAttrGlobalL1CacheSupported, 1},
    {cudaDevAttrLocalL1CacheSupported, 1},
    {cudaDevAttrManagedMemory, 1},
    {cudaDevAttrCanUseHostPointerForRegisteredMem, 1},
    {cudaDevAttrHostRegisterSupported, 1},
    {cudaDevAttrMemoryPoolsSupported, 1},
    // What this device does not do or is not, stated rather than refused: programs ask before they use it.
    {cudaDevAttrComputeMode, 0},  // several processes may share the device
    {cudaDevAttrGpuOverlap, 0},
    {cudaDevAttrKernelExecTimeout, 0},
    {cudaDevAttrIntegrated, 0},
    {cudaDevAttrEccEnabled, 0},
    {cudaDevAttrPciBusId, 0},
    {cudaDevAttrPciDeviceId, 0},
    {cudaDevAttrPciDomainId, 0},
    {cudaDevAttrTccDriver, 0},
    {cudaDevAttrIsMultiGpuBoard, 0},
    {cudaDevAttrPageableMemoryAccess, 0},
    {cudaDevAttrPageableMemoryAccessUsesHostPageTables, 0},
    {cudaDevAttrConcurrentManagedAccess, 0},
    {cudaDevAttrDirectManagedMemAccessFromHost, 0},
    {cudaDevAttrComputePreemptionSupported, 0},
    {cudaDevAttrCooperativeLaunch, 0},
    {cudaDevAttrClusterLaunch, 0},
    {cudaDevAttrHostNativeAtomicSupported, 0},
    {cudaDevAttrMaxPersistingL2CacheSize, 0},
    {cudaDevAttrMaxAccessPolicyWindowSize, 0},
};

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
  p.memPitch = kMaxPitch;
  p.maxThreadsPerBlock = kBlockThreads;
  std::copy(std::begin(kBlockLimit), std::end(kBlockLimit), p.maxThreadsDim);
  std::copy(std::begin(kGridLimit), std::end(kGridLimit), p.maxGridSize);
  p.totalConstMem = kConstantBytes;
  p.major = kMajor;
  p.minor = kMinor;
  p.textureAlignment = kTextureAlignment;
  p.texturePitchAlignment = kTexturePitchAlignment;
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
  if (attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin) return static_cast<int>(shared_memory_optin());
  if (attribute == cudaDevAttrMaxSharedMemoryPerMultiprocessor) {
    return static_cast<int>(shared_memory_per_multiprocessor());
  }
  for (const AttributeValue& row : kAttributes) {
    if (row.attribute == attribute) return row.value;
  }
  throw CudaFailure{cudaErrorInvalidValue};
}

int blocks_per_multiprocessor(int block_threads, size_t shared_bytes) {
  if (block_threads <= 0 || block_threads > kBlockThreads || shared_bytes > shared_memory_optin()) return 0;
  const int warps = (block_threads + kWarp - 1) / kWarp;
  const int by_threads = kMultiprocessorThreads / kWarp / warps;
  const auto by_shared = static_cast<int>(shared_memory_per_multiprocessor() / (shared_bytes + kSharedMemoryReserved));
  return std::min({kMultiprocessorBlocks, by_threads, by_shared});
}

}  // namespace vigor::emulator
