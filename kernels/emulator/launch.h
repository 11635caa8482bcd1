#pragma once
// Running a kernel.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/emulator/access.h"
#include "kernels/emulator/fault.h"
#include "kernels/emulator/module.h"

namespace vigor::emulator {

struct LaunchConfig {
  Dim3 grid, block;
  uint32_t dynamic_shared_bytes = 0;
  // What the program asked for with cudaFuncAttributeMaxDynamicSharedMemorySize; without it 48 KB in all are allowed.
  uint32_t max_dynamic_shared_bytes = 0;
};

// Bounds, alignment, barriers and member masks are checked at every level: that costs little. `full` adds the checker.
enum class CheckLevel { off, bounds, full };

struct LaunchOptions {
  CheckLevel check = CheckLevel::bounds;
  Checker* checker = nullptr;              // called only when check is full
  std::optional<uint64_t> order_seed;      // random order of warps and blocks; unset: fixed order
  int threads = 1;                         // CPU threads that run blocks
  uint32_t shared_limit_bytes = 99 << 10;  // a block's largest shared memory, static and dynamic

  // VIGOR_EMULATOR_CHECK, _WARP_ORDER, _THREADS and _SHARED_KB, read now. Fault invalid_value for a bad value.
  static LaunchOptions from_environment();
};

struct LaunchCounts {
  uint64_t blocks = 0;
  uint64_t warp_instructions = 0;
  uint64_t lane_instructions = 0;  // a warp instruction counts once for each lane that took part
};

// Runs all blocks to the end. `parameters` is the kernel's parameter block (KernelInfo::parameter_bytes long, laid out
// by KernelInfo::parameters). Throws Fault; memory keeps what was written until then.
LaunchCounts launch(const Module& module, std::string_view kernel, const LaunchConfig& config,
                    std::span<const std::byte> parameters, const LaunchOptions& options = {});

}  // namespace vigor::emulator
