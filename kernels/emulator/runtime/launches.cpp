#include "kernels/emulator/runtime/launches.h"

#include <fmt/format.h>

#include <cstring>

#include "kernels/emulator/launch.h"
#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"

namespace vigor::emulator {
namespace {

std::string shape(dim3 size) { return fmt::format("({},{},{})", size.x, size.y, size.z); }

[[noreturn]] void refuse(const Kernel& kernel, cudaError_t code, const std::string& why) {
  throw CudaFailure{code,
                    fmt::format("launch refused ({}): {}: {}", error_name(code), readable_name(kernel.name), why)};
}

void require_shape(const Kernel& kernel, dim3 grid, dim3 block) {
  const int x = device_attribute(cudaDevAttrMaxGridDimX), y = device_attribute(cudaDevAttrMaxGridDimY),
            z = device_attribute(cudaDevAttrMaxGridDimZ);
  const auto fits = [](unsigned size, int limit) { return size >= 1 && size <= static_cast<unsigned>(limit); };
  if (!fits(grid.x, x) || !fits(grid.y, y) || !fits(grid.z, z)) {
    refuse(kernel, cudaErrorInvalidConfiguration,
           fmt::format("a grid of {} blocks; each number is 1 to ({},{},{})", shape(grid), x, y, z));
  }
  const int threads = device_attribute(cudaDevAttrMaxThreadsPerBlock);
  const int block_z = device_attribute(cudaDevAttrMaxBlockDimZ);
  if (!fits(block.x, threads) || !fits(block.y, threads) || !fits(block.z, block_z) ||
      uint64_t{block.x} * block.y * block.z > static_cast<uint64_t>(threads)) {
    refuse(kernel, cudaErrorInvalidConfiguration,
           fmt::format("a block of {} threads; at most {} in all, {} in z, none zero", shape(block), threads, block_z));
  }
}

}  // namespace

size_t dynamic_shared_limit(const Kernel& kernel) {
  return kernel.max_dynamic_shared.value_or(kSharedMemoryDefault - info_of(kernel).static_shared_bytes);
}

Work prepare_launch(const Kernel& kernel, dim3 grid, dim3 block, void* const* arguments, size_t dynamic_shared) {
  const Module& module = module_of(kernel);
  const KernelInfo& info = info_of(kernel);
  require_shape(kernel, grid, block);
  if (block.x * block.y * block.z > info.max_threads_per_block()) {
    refuse(kernel, cudaErrorLaunchOutOfResources,
           fmt::format("a block of {} threads; its __launch_bounds__ allow {}", shape(block),
                       info.max_threads_per_block()));
  }
  if (dynamic_shared > dynamic_shared_limit(kernel)) {
    const bool beyond_device = dynamic_shared + info.static_shared_bytes > shared_memory_optin();
    refuse(
        kernel, cudaErrorInvalidValue,
        fmt::format("{} bytes of dynamic and {} of static shared memory; {}", dynamic_shared, info.static_shared_bytes,
                    beyond_device ? fmt::format("the device has {} a block", shared_memory_optin())
                                  : fmt::format("{} dynamic bytes are allowed: raise them with cudaFuncSetAttribute("
                                                "cudaFuncAttributeMaxDynamicSharedMemorySize)",
                                                dynamic_shared_limit(kernel))));
  }

  std::vector<std::byte> parameters(info.parameter_bytes);
  for (size_t i = 0; i < info.parameters.size(); ++i) {
    const KernelParameter& parameter = info.parameters[i];
    std::memcpy(parameters.data() + parameter.offset, arguments[i], parameter.bytes);
  }
  LaunchConfig config;
  config.grid = {grid.x, grid.y, grid.z};
  config.block = {block.x, block.y, block.z};
  config.dynamic_shared_bytes = static_cast<uint32_t>(dynamic_shared);
  config.max_dynamic_shared_bytes = static_cast<uint32_t>(dynamic_shared_limit(kernel));
  return [&module, name = kernel.name, config, parameters = std::move(parameters)] {
    launch(module, name, config, parameters, launch_options());
  };
}

}  // namespace vigor::emulator
