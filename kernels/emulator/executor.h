#pragma once
// Runs one block after another on one CPU thread.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "kernels/emulator/warp.h"

namespace vigor::emulator {

class BlockRunner {
 public:
  BlockRunner(const KernelCode& code, const LaunchInfo& launch, const LaunchOptions& options,
              const DeviceMemory& memory, const std::byte* parameters, uint32_t worker, BlockChecker* checker);

  void run(const BlockInfo& info);  // throws Fault
  const LaunchCounts& counts() const { return counts_; }

 private:
  void reset();
  void fill_specials(Warp& warp, bool launch_begins);
  uint32_t special_value(SpecialRegister which, const Warp& warp, uint32_t lane) const;
  void run_warps();
  Warp* next_warp(size_t& turn);

  Block block_;
  std::optional<std::mt19937_64> order_;
  LaunchCounts counts_;
  bool watch_instructions_ = false;
};

}  // namespace vigor::emulator
