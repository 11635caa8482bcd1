#include "kernels/emulator/executor.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "kernels/emulator/barrier.h"

namespace vigor::emulator {
namespace {

constexpr int32_t kPatience = 1 << 14;  // backward branches before another warp gets its turn

// Runs the warp until it waits, ends, or has lost its patience.
template <bool kWatched>
void run_warp(Warp& warp) {
  const Instruction* const code = warp.block->code->instructions.data();
  uint64_t warp_instructions = 0, lane_instructions = 0;
  warp.suspended = false;
  while (true) {
    if (warp.pc >= warp.meeting_pc) [[unlikely]] {
      choose_group(warp);
      if (warp.suspended) break;
    }
    const Instruction& instruction = code[warp.pc++];
    uint32_t lanes = warp.active;
    if (instruction.guard != Instruction::kNoGuard) {
      const uint32_t guard = *reinterpret_cast<const uint32_t*>(warp.bank[0] + instruction.guard);
      lanes &= instruction.guard_negated ? ~guard : guard;
      if (lanes == 0) continue;
    }
    ++warp_instructions;
    lane_instructions += lanes == kAllLanes ? kWarpSize : static_cast<uint64_t>(std::popcount(lanes));
    if constexpr (kWatched) {
      warp.block->checker->instruction(warp.block->instruction_index(instruction), lanes);
    }
    if (!instruction.control) {
      instruction.run(warp, instruction, lanes);
      continue;
    }
    warp.warp_instructions += warp_instructions;  // up to date for clocks
    warp.lane_instructions += lane_instructions;
    warp_instructions = lane_instructions = 0;
    [[maybe_unused]] const uint32_t together = warp.active;
    instruction.run(warp, instruction, lanes);
    if constexpr (kWatched) {
      const uint32_t index = warp.block->instruction_index(instruction);
      const bool parted = warp.active != 0 && (warp.active & ~together) == 0 && warp.active != together;
      if (parted && warp.block->code->text(index).starts_with("br"))
        warp.block->checker->divergent_branch(index, together);
    }
    if (warp.suspended) break;
  }
  warp.warp_instructions += warp_instructions;
  warp.lane_instructions += lane_instructions;
}

// A warp whose lanes parted lets another group run for a while: the running one may be waiting for it in a loop.
void rotate_groups(Warp& warp) {
  if (warp.ready.empty() || warp.active == 0) return;
  const LaneGroup other = warp.ready.back();
  warp.ready.back() = {warp.pc, warp.active, 0};
  warp.pc = other.pc;
  warp.active = other.lanes;
  warp.meeting_pc = UINT32_MAX;
}

// Memory that a CPU thread keeps from launch to launch: small kernels are launched often.
class Scratch {
 public:
  // At least this many bytes, aligned for vectors. They hold what the last block left.
  std::byte* get(size_t bytes) {
    constexpr size_t kLine = 64;
    if (bytes > size_ || !bytes_) {
      size_ = (bytes / kLine + 1) * kLine;
      bytes_.reset(static_cast<std::byte*>(std::aligned_alloc(kLine, size_)));
      if (!bytes_) throw Fault(FaultKind::out_of_memory, "emulated device: no host memory for a block");
      std::memset(bytes_.get(), 0, size_);
    }
    return bytes_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte[], Free> bytes_;
  size_t size_ = 0;
};

}  // namespace

BlockRunner::BlockRunner(const KernelCode& code, const LaunchInfo& launch, const LaunchOptions& options,
                         const DeviceMemory& memory, const std::byte* parameters, uint32_t worker,
                         BlockChecker* checker) {
  const auto threads = static_cast<uint32_t>(launch.block.count());
  const uint32_t warps = (threads + kWarpSize - 1) / kWarpSize;
  static thread_local Scratch registers, local, shared;
  std::byte* const register_bytes = registers.get(size_t{warps} * code.register_bytes);
  std::byte* const local_bytes = local.get(size_t{warps} * kWarpSize * code.local_bytes);
  block_.code = &code;
  block_.launch = &launch;
  block_.memory = &memory;
  block_.checker = checker;
  block_.shared = shared.get(launch.shared_bytes);
  block_.shared_bytes = launch.shared_bytes;
  block_.local_bytes = code.local_bytes;
  block_.parameters = parameters;
  block_.worker = worker;
  block_.warps.resize(warps);
  watch_instructions_ = checker && options.checker && options.checker->wants_instructions();
  if (options.order_seed) order_.emplace(*options.order_seed * 0x9e3779b97f4a7c15u + worker);
  for (uint32_t i = 0; i < warps; ++i) {
    Warp& warp = block_.warps[i];
    warp.index = i;
    warp.block = &block_;
    warp.bank[0] = register_bytes + size_t{i} * code.register_bytes;
    // Handlers only read from the constants' bank.
    warp.bank[1] = const_cast<std::byte*>(code.constants());
    warp.local = local_bytes + size_t{i} * kWarpSize * code.local_bytes;
    fill_specials(warp, true);
  }
}

uint32_t BlockRunner::special_value(SpecialRegister which, const Warp& warp, uint32_t lane) const {
  const Dim3& threads = block_.launch->block;
  const Dim3& grid = block_.launch->grid;
  const Dim3& index = block_.info.index;
  const uint32_t thread = warp.index * kWarpSize + lane;
  switch (which) {
    case SpecialRegister::tid_x:
      return thread % threads.x;
    case SpecialRegister::tid_y:
      return thread / threads.x % threads.y;
    case SpecialRegister::tid_z:
      return thread / threads.x / threads.y;
    case SpecialRegister::ntid_x:
      return threads.x;
    case SpecialRegister::ntid_y:
      return threads.y;
    case SpecialRegister::ntid_z:
      return threads.z;
    case SpecialRegister::ctaid_x:
      return index.x;
    case SpecialRegister::ctaid_y:
      return index.y;
    case SpecialRegister::ctaid_z:
      return index.z;
    case SpecialRegister::nctaid_x:
      return grid.x;
    case SpecialRegister::nctaid_y:
      return grid.y;
    case SpecialRegister::nctaid_z:
      return grid.z;
    case SpecialRegister::laneid:
      return lane;
    case SpecialRegister::warpid:
      return warp.index;
    case SpecialRegister::nwarpid:
      return static_cast<uint32_t>(block_.warps.size());
    case SpecialRegister::smid:
      return block_.worker;
    case SpecialRegister::nsmid:
      return block_.worker + 1;
    case SpecialRegister::lanemask_eq:
      return 1u << lane;
    case SpecialRegister::lanemask_lt:
      return (1u << lane) - 1;
    case SpecialRegister::lanemask_le:
      return (2u << lane) - 1;
    case SpecialRegister::lanemask_gt:
      return ~((2u << lane) - 1);
    case SpecialRegister::lanemask_ge:
      return ~((1u << lane) - 1);
    case SpecialRegister::dynamic_smem_size:
      return block_.shared_bytes - block_.code->static_shared_bytes;
    case SpecialRegister::total_smem_size:
      return block_.shared_bytes;
    default:
      return 0;  // gridid: one grid at a time; clocks are instructions
  }
}

// Only the block's index differs between the blocks of a launch.
void BlockRunner::fill_specials(Warp& warp, bool launch_begins) {
  for (const SpecialUse& use : block_.code->specials) {
    const bool of_block = use.which >= SpecialRegister::ctaid_x && use.which <= SpecialRegister::ctaid_z;
    if (!of_block && !launch_begins) continue;
    uint32_t* plane = warp.plane<uint32_t>(use.plane);
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) plane[lane] = special_value(use.which, warp, lane);
  }
}

void BlockRunner::reset() {
  const auto threads = static_cast<uint32_t>(block_.launch->block.count());
  block_.barriers = {};
  for (Warp& warp : block_.warps) {
    const uint32_t rest = threads - warp.index * kWarpSize;
    warp.live = warp.active = rest >= kWarpSize ? kAllLanes : (1u << rest) - 1;
    warp.pc = block_.code->entry;
    warp.meeting_pc = UINT32_MAX;
    warp.at_barrier = false;
    warp.ready.clear();
    warp.waiting.clear();
    warp.copies.clear();
    warp.commit_group = {};
    fill_specials(warp, false);
  }
}

void BlockRunner::run(const BlockInfo& info) {
  block_.info = info;
  block_.info.shared = block_.shared;
  reset();
  if (block_.checker) block_.checker->begin(block_.info);
  run_warps();
  if (block_.checker) block_.checker->end();
  ++counts_.blocks;
  for (Warp& warp : block_.warps) {
    counts_.warp_instructions += std::exchange(warp.warp_instructions, 0);
    counts_.lane_instructions += std::exchange(warp.lane_instructions, 0);
  }
}

// A warp that can run: the next in turn, or any with a random order. Null when none can.
Warp* BlockRunner::next_warp(size_t& turn) {
  const size_t count = block_.warps.size();
  if (order_) turn = static_cast<size_t>((*order_)() % count);
  for (size_t i = 0; i < count; ++i, turn = (turn + 1) % count) {
    Warp& warp = block_.warps[turn];
    if (warp.live != 0 && !warp.at_barrier) return &warp;
  }
  return nullptr;
}

void BlockRunner::run_warps() {
  size_t turn = 0;
  while (Warp* warp = next_warp(turn)) {
    warp->patience = order_ ? static_cast<int32_t>(1 + (*order_)() % 16) : kPatience;
    const uint32_t live = warp->live;
    if (watch_instructions_) {
      run_warp<true>(*warp);
    } else {
      run_warp<false>(*warp);
    }
    const bool runnable = warp->active != 0 || !warp->ready.empty();
    if (warp->live != 0 && !runnable && !warp->at_barrier) fail_deadlock(block_);
    if (warp->live != live) open_barriers(block_);
    if (warp->patience <= 0) rotate_groups(*warp);
    turn = (turn + 1) % block_.warps.size();
  }
  const bool all_done =
      std::all_of(block_.warps.begin(), block_.warps.end(), [](const Warp& w) { return w.live == 0; });
  if (!all_done) fail_deadlock(block_);
}

}  // namespace vigor::emulator
