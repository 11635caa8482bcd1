#include "kernels/emulator/barrier.h"

#include <fmt/format.h>

#include <bit>
#include <map>

namespace vigor::emulator {
namespace {

uint32_t live_threads(const Block& block) {
  uint32_t count = 0;
  for (const Warp& warp : block.warps) count += static_cast<uint32_t>(std::popcount(warp.live));
  return count;
}

// The result of bar.red for a warp that waited.
void deliver(Warp& warp, const Barrier& barrier) {
  const Instruction& instruction = *warp.barrier.instruction;
  if (instruction.operand_count < 4) return;  // bar.sync
  const Operand& d = instruction.operands[0];
  if (d.bytes != 0) {  // .popc
    uint32_t* plane = warp.plane<uint32_t>(d);
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      if (warp.live >> lane & 1) plane[lane] = barrier.reduction;
    }
    return;
  }
  const std::string& name = warp.block->code->text(warp.block->instruction_index(instruction));
  const bool wants_all = name.find(".and") != std::string::npos;
  const bool result = wants_all ? barrier.reduction == barrier.participants : barrier.reduction != 0;
  uint32_t& p = warp.predicate(d);
  p = (p & ~warp.live) | (result ? warp.live : 0u);
}

void open(Block& block, uint32_t id) {
  Barrier& barrier = block.barriers[id];
  if (block.checker) block.checker->barrier(barrier.expected == 0, barrier.warps);
  for (Warp& warp : block.warps) {
    if (!warp.at_barrier || warp.barrier.id != id) continue;
    deliver(warp, barrier);
    warp.at_barrier = false;
  }
  barrier = Barrier{};
}

void open_if_complete(Block& block, uint32_t id) {
  const Barrier& barrier = block.barriers[id];
  if (barrier.arrived == 0) return;
  if (barrier.arrived >= (barrier.expected ? barrier.expected : live_threads(block))) open(block, id);
}

std::string place(const Block& block, const Instruction& instruction) {
  const SourceLocation source = block.code->source(block.instruction_index(instruction));
  if (source.file.empty()) return fmt::format("{} (PTX line {})", source.instruction, source.ptx_line);
  std::string text = fmt::format("{}:{} ({})", source.file, source.line, source.instruction);
  if (!source.callers.empty()) {
    text += fmt::format(" called from {}:{}", source.callers.back().file, source.callers.back().line);
  }
  return text;
}

}  // namespace

void arrive(Warp& warp, const Instruction& instruction, uint32_t id, uint32_t threads, uint32_t lanes, uint32_t votes,
            bool wait) {
  Block& block = *warp.block;
  const int lane = std::countr_zero(lanes);
  if (id >= kBarriers) {
    fail(warp, instruction, lane, FaultKind::launch_failure, fmt::format("barrier {} of 16", id).c_str());
  }
  if (threads % kWarpSize != 0) {
    fail(warp, instruction, lane, FaultKind::launch_failure,
         fmt::format("a barrier for {} threads, which is not a multiple of 32", threads).c_str());
  }
  Barrier& barrier = block.barriers[id];
  if (barrier.arrived == 0) {
    barrier.first = &instruction;
    barrier.expected = threads;
  } else if (barrier.expected != threads) {
    fail(warp, instruction, lane, FaultKind::launch_failure,
         fmt::format("barrier {} for {} threads here, but others wait at it for {}, at {} (0: all)", id, threads,
                     barrier.expected, place(block, *barrier.first))
             .c_str());
  } else if (threads == 0 && barrier.first != &instruction) {
    // Legal for the hardware, but __syncthreads() in a branch that not all threads of the block take is a bug.
    fail(warp, instruction, lane, FaultKind::launch_failure,
         fmt::format("divergent barrier: other threads of the block wait at another one, at {}",
                     place(block, *barrier.first))
             .c_str());
  }
  barrier.arrived += threads ? kWarpSize : static_cast<uint32_t>(std::popcount(lanes));
  barrier.participants += static_cast<uint32_t>(std::popcount(lanes));
  barrier.reduction += static_cast<uint32_t>(std::popcount(votes));
  barrier.warps |= 1u << warp.index;
  if (wait) {
    warp.at_barrier = true;
    warp.suspended = true;
    warp.barrier = {id, &instruction};
  }
  open_if_complete(block, id);
}

void open_barriers(Block& block) {
  for (uint32_t id = 0; id < kBarriers; ++id) open_if_complete(block, id);
}

void fail_deadlock(Block& block) {
  // Who waits where: lanes at .sync instructions, warps at barriers.
  std::map<std::string, uint32_t> waiting;
  const Warp* some = nullptr;
  const Instruction* where = nullptr;
  int lane = -1;
  for (Warp& warp : block.warps) {
    if (warp.at_barrier) {
      waiting[place(block, *warp.barrier.instruction)] += static_cast<uint32_t>(std::popcount(warp.live));
      if (!some) some = &warp, where = warp.barrier.instruction, lane = std::countr_zero(warp.live);
    }
    for (const LaneGroup& group : warp.waiting) {
      const Instruction& instruction = block.code->instructions[group.pc];
      waiting[place(block, instruction)] += static_cast<uint32_t>(std::popcount(group.lanes));
      // Lanes of a warp that miss each other are the cause, rather than a warp at a barrier.
      some = &warp, where = &instruction, lane = std::countr_zero(group.lanes);
    }
  }
  std::string text = "deadlock: no thread of the block can go on";
  for (const auto& [at, threads] : waiting) {
    text += fmt::format("\n  {} thread{} wait{} at {}", threads, threads == 1 ? "" : "s", threads == 1 ? "s" : "", at);
  }
  const uint32_t all = static_cast<uint32_t>(block.launch->block.count());
  if (const uint32_t live = live_threads(block); live < all)
    text += fmt::format("\n  {} threads have exited", all - live);
  fail(*some, *where, lane, FaultKind::launch_failure, text.c_str());
}

}  // namespace vigor::emulator
