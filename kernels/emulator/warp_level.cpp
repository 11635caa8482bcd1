// What the lanes of a warp do together: shuffles, votes, matches, reductions; and the block's barriers.
//
// A .sync instruction waits for the lanes of its member mask. Different lanes may bring different masks (parts of a
// warp that work apart): each mask's lanes are a group of their own.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "kernels/emulator/barrier.h"
#include "kernels/emulator/instruction_table.h"
#include "kernels/emulator/warp.h"

namespace vigor::emulator {
namespace {

int lane_of(uint32_t lanes) { return std::countr_zero(lanes); }

// Calls body(group) for each group of lanes that share a member mask and are all here. The others are parked.
template <class F>
void for_members(Warp& warp, const Instruction& instruction, uint32_t lanes, const Operand& mask, F body) {
  const uint32_t* members = warp.plane<uint32_t>(mask);
  while (lanes != 0) {
    const uint32_t member = members[lane_of(lanes)];
    uint32_t group = 0;
    for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
      if (members[lane_of(rest)] == member) group |= rest & (0 - rest);
    }
    lanes &= ~group;
    if (group & ~member) {
      fail(warp, instruction, lane_of(group & ~member), FaultKind::launch_failure,
           fmt::format("wrong member mask: the lane executes this with the member mask {:#010x}, in which it is not "
                       "itself",
                       member)
               .c_str());
    }
    const uint32_t here = meet(warp, instruction, group, member);
    if (here == 0) continue;
    lanes &= ~here;
    body(here);
  }
}

enum class Shuffle { up, down, butterfly, index };

// shfl.sync d|p, a, b, c, members. c holds the last lane of the segment and, from bit 8 on, which lane bits stay.
template <Shuffle kMode>
void shuffle(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Operand* operands = instruction.operands;
  for_members(warp, instruction, lanes, operands[5], [&](uint32_t group) {
    uint32_t* d = warp.plane<uint32_t>(operands[0]);
    const uint32_t* b = warp.plane<uint32_t>(operands[3]);
    const uint32_t* c = warp.plane<uint32_t>(operands[4]);
    std::array<uint32_t, kWarpSize> a;
    std::copy_n(warp.plane<uint32_t>(operands[2]), kWarpSize, a.begin());
    uint32_t in_range = 0;
    for (uint32_t rest = group; rest != 0; rest &= rest - 1) {
      const auto lane = static_cast<uint32_t>(lane_of(rest));
      const uint32_t segment = c[lane] >> 8 & 0x1f, clamp = c[lane] & 0x1f, amount = b[lane] & 0x1f;
      const uint32_t last = (lane & segment) | (clamp & ~segment);
      const uint32_t first = lane & segment;
      int from = 0;
      bool inside = false;
      switch (kMode) {
        case Shuffle::up:
          from = static_cast<int>(lane) - static_cast<int>(amount);
          inside = from >= static_cast<int>(last);
          break;
        case Shuffle::down:
          from = static_cast<int>(lane + amount);
          inside = from <= static_cast<int>(last);
          break;
        case Shuffle::butterfly:
          from = static_cast<int>(lane ^ amount);
          inside = from <= static_cast<int>(last);
          break;
        case Shuffle::index:
          from = static_cast<int>(first | (amount & ~segment));
          inside = from <= static_cast<int>(last);
          break;
      }
      if (!inside) from = static_cast<int>(lane);
      if (!(group >> from & 1)) {
        fail(warp, instruction, static_cast<int>(lane), FaultKind::launch_failure,
             fmt::format("shuffle from an inactive lane: lane {} reads the value of lane {}, which {}", lane, from,
                         warp.live >> from & 1 ? "is not in the member mask" : "does not exist or has exited")
                 .c_str());
      }
      d[lane] = a[static_cast<size_t>(from)];
      in_range |= static_cast<uint32_t>(inside) << lane;
    }
    if (operands[1].present) {
      uint32_t& p = warp.predicate(operands[1]);
      p = (p & ~group) | in_range;
    }
  });
}

enum class Vote { all, any, uniform, ballot };

// vote.sync d, p, members.
template <Vote kMode>
void vote(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Operand* operands = instruction.operands;
  for_members(warp, instruction, lanes, operands[2], [&](uint32_t group) {
    const uint32_t votes = warp.predicate_value(operands[1]) & group;
    if (kMode == Vote::ballot) {
      uint32_t* d = warp.plane<uint32_t>(operands[0]);
      for (uint32_t rest = group; rest != 0; rest &= rest - 1) d[lane_of(rest)] = votes;
      return;
    }
    const bool result = kMode == Vote::all   ? votes == group
                        : kMode == Vote::any ? votes != 0
                                             : votes == group || votes == 0;
    uint32_t& p = warp.predicate(operands[0]);
    p = (p & ~group) | (result ? group : 0u);
  });
}

// match.any.sync d, a, members: the lanes with the same value.
template <class T>
void match_any(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Operand* operands = instruction.operands;
  for_members(warp, instruction, lanes, operands[2], [&](uint32_t group) {
    uint32_t* d = warp.plane<uint32_t>(operands[0]);
    std::array<T, kWarpSize> a;
    std::copy_n(warp.plane<T>(operands[1]), kWarpSize, a.begin());
    for (uint32_t rest = group; rest != 0; rest &= rest - 1) {
      uint32_t same = 0;
      for (uint32_t other = group; other != 0; other &= other - 1) {
        if (a[static_cast<size_t>(lane_of(other))] == a[static_cast<size_t>(lane_of(rest))])
          same |= other & (0 - other);
      }
      d[lane_of(rest)] = same;
    }
  });
}

// match.all.sync d|p, a, members: all members if all have the same value.
template <class T>
void match_all(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Operand* operands = instruction.operands;
  for_members(warp, instruction, lanes, operands[3], [&](uint32_t group) {
    uint32_t* d = warp.plane<uint32_t>(operands[0]);
    const T* a = warp.plane<T>(operands[2]);
    bool same = true;
    for (uint32_t rest = group; rest != 0; rest &= rest - 1) same &= a[lane_of(rest)] == a[lane_of(group)];
    for (uint32_t rest = group; rest != 0; rest &= rest - 1) d[lane_of(rest)] = same ? group : 0;
    if (operands[1].present) {
      uint32_t& p = warp.predicate(operands[1]);
      p = (p & ~group) | (same ? group : 0u);
    }
  });
}

// redux.sync d, a, members.
template <class T, auto f>
void reduce(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Operand* operands = instruction.operands;
  for_members(warp, instruction, lanes, operands[2], [&](uint32_t group) {
    const T* a = warp.plane<T>(operands[1]);
    T result = a[lane_of(group)];
    for (uint32_t rest = group & (group - 1); rest != 0; rest &= rest - 1) result = f(result, a[lane_of(rest)]);
    T* d = warp.plane<T>(operands[0]);
    for (uint32_t rest = group; rest != 0; rest &= rest - 1) d[lane_of(rest)] = result;
  });
}
constexpr auto kAdd = [](auto a, auto b) { return static_cast<decltype(a)>(uint32_t(a) + uint32_t(b)); };
constexpr auto kMin = [](auto a, auto b) { return std::min(a, b); };
constexpr auto kMax = [](auto a, auto b) { return std::max(a, b); };
constexpr auto kAnd = [](auto a, auto b) { return a & b; };
constexpr auto kOr = [](auto a, auto b) { return a | b; };
constexpr auto kXor = [](auto a, auto b) { return a ^ b; };

void sync_warp(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  for_members(warp, instruction, lanes, instruction.operands[0], [&](uint32_t group) {
    // Only this orders the lanes' memory accesses; shuffles and votes do not.
    if (warp.block->checker) warp.block->checker->warp_sync(warp.index, group);
  });
}

void active_mask(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  uint32_t* d = warp.plane<uint32_t>(instruction.operands[0]);
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) d[lane_of(rest)] = lanes;
}

// Barriers are for whole warps: the lanes of a warp come to them together.
uint32_t uniform_value(Warp& warp, const Operand& operand, uint32_t lanes) {
  return warp.plane<uint32_t>(operand)[lane_of(lanes)];
}

enum class Arrive { wait, pass };

// bar.sync id [, threads], bar.arrive id, threads.
template <Arrive kMode>
void barrier(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const uint32_t here = meet(warp, instruction, lanes, kAllLanes);
  if (here == 0) return;
  const Operand* operands = instruction.operands;
  const uint32_t threads = operands[1].present ? uniform_value(warp, operands[1], here) : 0;
  arrive(warp, instruction, uniform_value(warp, operands[0], here), threads, here, 0, kMode == Arrive::wait);
}

// bar.red d, id [, threads], p.
void barrier_reduce(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const uint32_t here = meet(warp, instruction, lanes, kAllLanes);
  if (here == 0) return;
  const Operand* operands = instruction.operands;
  const uint32_t threads = operands[2].present ? uniform_value(warp, operands[2], here) : 0;
  const uint32_t votes = warp.predicate_value(operands[3]) & here;
  arrive(warp, instruction, uniform_value(warp, operands[1], here), threads, here, votes, true);
}

constexpr OpRow kRows[] = {
    {"shfl.sync.up.b32", shuffle<Shuffle::up>, "dqaaaa", kControl},
    {"shfl.sync.down.b32", shuffle<Shuffle::down>, "dqaaaa", kControl},
    {"shfl.sync.bfly.b32", shuffle<Shuffle::butterfly>, "dqaaaa", kControl},
    {"shfl.sync.idx.b32", shuffle<Shuffle::index>, "dqaaaa", kControl},
    {"vote.sync.all.pred", vote<Vote::all>, "pca", kControl},
    {"vote.sync.any.pred", vote<Vote::any>, "pca", kControl},
    {"vote.sync.uni.pred", vote<Vote::uniform>, "pca", kControl},
    {"vote.sync.ballot.b32", vote<Vote::ballot>, "dca", kControl},
    {"vote.ballot.sync.b32", vote<Vote::ballot>, "dca", kControl},  // as CUB writes it
    {"match.any.sync.b32", match_any<uint32_t>, "daa", kControl},
    {"match.any.sync.b64", match_any<uint64_t>, "dAa", kControl},
    {"match.all.sync.b32", match_all<uint32_t>, "dqaa", kControl},
    {"match.all.sync.b64", match_all<uint64_t>, "dqAa", kControl},
    {"redux.sync.add.u32", reduce<uint32_t, kAdd>, "daa", kControl},
    {"redux.sync.add.s32", reduce<int32_t, kAdd>, "daa", kControl},
    {"redux.sync.min.u32", reduce<uint32_t, kMin>, "daa", kControl},
    {"redux.sync.min.s32", reduce<int32_t, kMin>, "daa", kControl},
    {"redux.sync.max.u32", reduce<uint32_t, kMax>, "daa", kControl},
    {"redux.sync.max.s32", reduce<int32_t, kMax>, "daa", kControl},
    {"redux.sync.and.b32", reduce<uint32_t, kAnd>, "daa", kControl},
    {"redux.sync.or.b32", reduce<uint32_t, kOr>, "daa", kControl},
    {"redux.sync.xor.b32", reduce<uint32_t, kXor>, "daa", kControl},
    {"bar.warp.sync", sync_warp, "a", kControl},
    {"activemask.b32", active_mask, "d"},
    {"bar.sync", barrier<Arrive::wait>, "ao", kControl},
    {"bar.arrive", barrier<Arrive::pass>, "aa", kControl},
    {"bar.red.popc.u32", barrier_reduce, "daoc", kControl},
    {"bar.red.and.pred", barrier_reduce, "paoc", kControl},
    {"bar.red.or.pred", barrier_reduce, "paoc", kControl},
};

}  // namespace

RowTable warp_level_rows() { return table_of(kRows); }

}  // namespace vigor::emulator
