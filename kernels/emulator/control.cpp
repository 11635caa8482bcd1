// Branches, calls and the groups of lanes that they make.
#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/emulator/instruction_table.h"
#include "kernels/emulator/warp.h"

namespace vigor::emulator {
namespace {

constexpr uint32_t kNowhere = UINT32_MAX;  // pc of an empty running group: at or past every meeting_pc

void leave(Warp& warp, uint32_t lanes) {
  warp.active &= ~lanes;
  if (warp.active == 0) warp.pc = kNowhere;
}

void update_meeting_pc(Warp& warp) {
  warp.meeting_pc = kNowhere;
  for (const LaneGroup& group : warp.ready) warp.meeting_pc = std::min(warp.meeting_pc, group.pc);
}

void jump(Warp& warp, uint32_t lanes, uint32_t target) {
  // A loop that waits for other warps or lanes must let them run at some time.
  if (target < warp.pc && --warp.patience <= 0) warp.suspended = true;
  if (lanes == warp.active) {
    warp.pc = target;
  } else {
    leave(warp, lanes);
    add_group(warp, target, lanes);
  }
}

void branch(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  jump(warp, lanes, static_cast<uint32_t>(instruction.immediate));
}

// Lanes go where `target(lane)` says.
template <class F>
void scatter(Warp& warp, uint32_t lanes, F target) {
  while (lanes != 0) {
    const uint32_t pc = target(static_cast<uint32_t>(std::countr_zero(lanes)));
    uint32_t together = 0;
    for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
      if (target(static_cast<uint32_t>(std::countr_zero(rest))) == pc) together |= rest & (0 - rest);
    }
    lanes &= ~together;
    jump(warp, together, pc);
  }
}

void branch_indexed(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const std::vector<uint32_t>& table = warp.block->code->branch_tables[static_cast<size_t>(instruction.immediate)];
  const uint32_t* index = warp.plane<uint32_t>(instruction.operands[0]);
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (index[lane] >= table.size()) {
      fail(warp, instruction, lane, FaultKind::illegal_instruction, "branch index beyond the branch's table");
    }
  }
  scatter(warp, lanes, [&](uint32_t lane) { return table[index[lane]]; });
}

// Each lane remembers where it came from: lanes may be in a function for different calls.
void call(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  uint32_t* back = warp.plane<uint32_t>(instruction.operands[0]);
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) back[std::countr_zero(rest)] = warp.pc;
  jump(warp, lanes, static_cast<uint32_t>(instruction.immediate));
}

void return_from_call(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const uint32_t* back = warp.plane<uint32_t>(instruction.operands[0]);
  scatter(warp, lanes, [&](uint32_t lane) { return back[lane]; });
}

// Parameters between caller and callee, both in local memory: operands' offsets, `immediate` bytes.
void copy_parameter(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
    std::byte* local = warp.local + static_cast<size_t>(std::countr_zero(rest)) * warp.block->local_bytes;
    std::memcpy(local + instruction.operands[0].offset, local + instruction.operands[1].offset,
                static_cast<size_t>(instruction.immediate));
  }
}

void exit(Warp& warp, const Instruction&, uint32_t lanes) { exit_lanes(warp, lanes); }

constexpr OpRow kRows[] = {
    {"bra", branch, "", kControl},     {"brx.idx", branch_indexed, "a", kControl}, {"call", call, "", kControl},
    {"call.copy", copy_parameter, ""}, {"ret", return_from_call, "", kControl},    {"exit", exit, "", kControl},
};

}  // namespace

void add_group(Warp& warp, uint32_t pc, uint32_t lanes) {
  for (LaneGroup& group : warp.ready) {
    if (group.pc == pc) {
      group.lanes |= lanes;
      return;
    }
  }
  warp.ready.push_back({pc, lanes, 0});
  warp.meeting_pc = std::min(warp.meeting_pc, pc);
}

void choose_group(Warp& warp) {
  if (warp.active != 0) add_group(warp, warp.pc, warp.active);
  if (warp.ready.empty()) {
    warp.active = 0;
    warp.suspended = true;
    return;
  }
  const auto next = std::min_element(warp.ready.begin(), warp.ready.end(),
                                     [](const LaneGroup& a, const LaneGroup& b) { return a.pc < b.pc; });
  warp.pc = next->pc;
  warp.active = next->lanes;
  *next = warp.ready.back();
  warp.ready.pop_back();
  update_meeting_pc(warp);
}

void exit_lanes(Warp& warp, uint32_t lanes) {
  land_copies(warp, lanes, 0, true);
  warp.live &= ~lanes;
  leave(warp, lanes);
  // Who waited for these lanes waits no more.
  std::erase_if(warp.waiting, [&](const LaneGroup& group) {
    const bool complete = (group.members & warp.live & ~group.lanes) == 0;
    if (complete) add_group(warp, group.pc, group.lanes);
    return complete;
  });
}

uint32_t meet(Warp& warp, const Instruction& instruction, uint32_t lanes, uint32_t members) {
  const uint32_t required = members & warp.live;
  if ((required & ~lanes) == 0) return lanes;
  const uint32_t pc = warp.block->instruction_index(instruction);
  const auto group = std::find_if(warp.waiting.begin(), warp.waiting.end(), [&](const LaneGroup& waiting) {
    return waiting.pc == pc && waiting.members == members;
  });
  const uint32_t here = lanes | (group != warp.waiting.end() ? group->lanes : 0);
  if ((required & ~here) == 0) {
    warp.waiting.erase(group);
    warp.active |= here;
    return here;
  }
  if (group != warp.waiting.end()) {
    group->lanes = here;
  } else {
    warp.waiting.push_back({pc, lanes, members});
  }
  leave(warp, lanes);
  return 0;
}

RowTable control_rows() { return table_of(kRows); }

}  // namespace vigor::emulator
