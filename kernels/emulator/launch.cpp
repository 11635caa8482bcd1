#include "kernels/emulator/launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>

#include "kernels/emulator/executor.h"
#include "kernels/emulator/helper_threads.h"

namespace vigor::emulator {
namespace {

constexpr uint32_t kDefaultShared = 48 << 10;  // without cudaFuncAttributeMaxDynamicSharedMemorySize
constexpr uint32_t kSharedAlignment = 16;      // of dynamic shared memory
constexpr uint64_t kMaxThreads = 1024;
constexpr Dim3 kMaxBlock{1024, 1024, 64};
constexpr Dim3 kMaxGrid{0x7fffffff, 65535, 65535};

bool exceeds(const Dim3& size, const Dim3& limit) {
  return size.x > limit.x || size.y > limit.y || size.z > limit.z || size.count() == 0;
}

std::string text_of(const Dim3& size) { return fmt::format("({},{},{})", size.x, size.y, size.z); }

// The block's shared memory; Fault when the launch is beyond a limit.
uint32_t check_limits(const KernelInfo& info, const KernelCode& code, const LaunchConfig& config,
                      const LaunchOptions& options) {
  const auto refuse = [&](FaultKind kind, const std::string& rule) {
    throw Fault(kind, fmt::format("launch of {}: {}; grid {}, block {}", info.name, rule, text_of(config.grid),
                                  text_of(config.block)));
  };
  const uint64_t threads = config.block.count();
  if (exceeds(config.grid, kMaxGrid)) {
    refuse(FaultKind::invalid_configuration, "a grid has 1 to (2147483647,65535,65535) blocks");
  }
  if (exceeds(config.block, kMaxBlock) || threads > kMaxThreads) {
    refuse(FaultKind::invalid_configuration, "a block has 1 to 1024 threads, at most (1024,1024,64)");
  }
  if (info.reqntid[0] != 0 &&
      (config.block.x != info.reqntid[0] || config.block.y != info.reqntid[1] || config.block.z != info.reqntid[2])) {
    refuse(FaultKind::invalid_configuration,
           fmt::format("the kernel requires blocks of ({},{},{})", info.reqntid[0], info.reqntid[1], info.reqntid[2]));
  }
  if (threads > info.max_threads_per_block()) {
    refuse(FaultKind::out_of_resources,
           fmt::format("__launch_bounds__ allows {} threads a block", info.max_threads_per_block()));
  }
  const uint64_t fixed = code.static_shared_bytes;
  const uint64_t before =
      config.dynamic_shared_bytes ? (fixed + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment : fixed;
  const uint64_t total = before + config.dynamic_shared_bytes;
  const uint64_t allowed = std::min<uint64_t>(
      std::max<uint64_t>(kDefaultShared, before + config.max_dynamic_shared_bytes), options.shared_limit_bytes);
  if (total > allowed) {
    refuse(FaultKind::invalid_value,
           fmt::format("{} bytes of static and {} of dynamic shared memory; {} are allowed (48 KB without "
                       "cudaFuncAttributeMaxDynamicSharedMemorySize, {} at most on this device)",
                       fixed, config.dynamic_shared_bytes, allowed, options.shared_limit_bytes));
  }
  return static_cast<uint32_t>(total);
}

// Blocks in the order in which they are started.
std::vector<uint32_t> shuffled_order(uint64_t count, uint64_t seed) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

// Shares the blocks among workers; the first fault stops all.
class Launch {
 public:
  Launch(const KernelCode& code, const LaunchInfo& info, const LaunchOptions& options, const std::byte* parameters)
      : code_(code), info_(info), options_(options), parameters_(parameters), blocks_(info.grid.count()) {
    if (options.order_seed) order_ = shuffled_order(blocks_, *options.order_seed);
  }

  LaunchCounts run() {
    const auto workers =
        static_cast<uint32_t>(std::clamp<uint64_t>(static_cast<uint64_t>(options_.threads), 1, blocks_));
    HelperThreads::instance().run(workers, [this](uint32_t worker) { work(worker); });
    if (fault_) std::rethrow_exception(fault_);
    return counts_;
  }

 private:
  void work(uint32_t worker) {
    try {
      Checker* checker = options_.check == CheckLevel::full ? options_.checker : nullptr;
      const auto watcher = checker ? checker->make_block_checker(info_, code_) : nullptr;
      BlockRunner runner(code_, info_, options_, *info_.memory, parameters_, worker, watcher.get());
      for (uint64_t next; (next = next_.fetch_add(1)) < blocks_;) {
        const uint64_t serial = order_.empty() ? next : order_[next];
        const auto x = static_cast<uint32_t>(serial % info_.grid.x);
        const auto y = static_cast<uint32_t>(serial / info_.grid.x % info_.grid.y);
        const auto z = static_cast<uint32_t>(serial / info_.grid.x / info_.grid.y);
        runner.run({{x, y, z}, serial});
      }
      const std::lock_guard lock(mutex_);
      counts_.blocks += runner.counts().blocks;
      counts_.warp_instructions += runner.counts().warp_instructions;
      counts_.lane_instructions += runner.counts().lane_instructions;
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!fault_) fault_ = std::current_exception();
      next_ = blocks_;
    }
  }

  const KernelCode& code_;
  const LaunchInfo& info_;
  const LaunchOptions& options_;
  const std::byte* parameters_;
  uint64_t blocks_;
  std::vector<uint32_t> order_;
  std::atomic<uint64_t> next_{0};
  std::mutex mutex_;
  LaunchCounts counts_;
  std::exception_ptr fault_;
};

// The variable's number; `fallback` when it is not set.
uint64_t number_from_environment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  if (!text) return fallback;
  const std::string_view digits(text);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    throw Fault(FaultKind::invalid_value, fmt::format("{} must be a number; got '{}'", name, digits));
  }
  return value;
}

}  // namespace

LaunchOptions LaunchOptions::from_environment() {
  LaunchOptions options;
  const char* text = std::getenv("VIGOR_EMULATOR_CHECK");
  const std::string_view check = text ? text : "full";
  if (check == "off" || check == "bounds") {
    options.check = check == "off" ? CheckLevel::off : CheckLevel::bounds;
  } else if (check == "full") {
    options.check = CheckLevel::full;
  } else {
    throw Fault(FaultKind::invalid_value, fmt::format("VIGOR_EMULATOR_CHECK is off, bounds or full; got '{}'", check));
  }
  const char* order = std::getenv("VIGOR_EMULATOR_WARP_ORDER");
  if (order && std::string_view(order) != "fixed") {
    options.order_seed = number_from_environment("VIGOR_EMULATOR_WARP_ORDER", 0);
  }
  options.threads =
      static_cast<int>(std::clamp<uint64_t>(number_from_environment("VIGOR_EMULATOR_THREADS", 1), 1, 1024));
  options.shared_limit_bytes = static_cast<uint32_t>(number_from_environment("VIGOR_EMULATOR_SHARED_KB", 99) << 10);
  return options;
}

LaunchCounts launch(const Module& module, std::string_view kernel, const LaunchConfig& config,
                    std::span<const std::byte> parameters, const LaunchOptions& options) {
  const KernelCode& code = module.code(kernel);
  const KernelInfo& info = *module.find_kernel(kernel);
  if (parameters.size() != info.parameter_bytes) {
    throw Fault(FaultKind::invalid_value, fmt::format("launch of {}: the kernel has {} bytes of parameters; got {}",
                                                      kernel, info.parameter_bytes, parameters.size()));
  }
  LaunchInfo launch_info;
  launch_info.kernel = info.name;
  launch_info.grid = config.grid;
  launch_info.block = config.block;
  launch_info.shared_bytes = check_limits(info, code, config, options);
  launch_info.local_bytes = code.local_bytes;
  launch_info.instruction_count = code.instructions.size();
  launch_info.memory = &module.memory();

  Checker* checker = options.check == CheckLevel::full ? options.checker : nullptr;
  if (!checker) return Launch(code, launch_info, options, parameters.data()).run();
  checker->launch_begin(launch_info, code);
  try {
    const LaunchCounts counts = Launch(code, launch_info, options, parameters.data()).run();
    checker->launch_end();
    return counts;
  } catch (...) {
    checker->launch_end();
    throw;
  }
}

}  // namespace vigor::emulator
