#pragma once
// For *_ops.cpp: the addresses of a warp's access, checked and turned into host pointers.
#include "kernels/emulator/access_faults.h"
#include "kernels/emulator/lanes.h"

namespace vigor::emulator::VIGOR_ISA {

struct Addresses {
  alignas(64) uint64_t value[kWarpSize];  // in their space
  alignas(64) uint64_t host[kWarpSize];
  uint32_t lanes = 0;       // those that are set here
  bool contiguous = false;  // all 32 lanes, each right behind the one before

  template <class T>
  VIGOR_INLINE T* pointer(uint32_t lane) const {
    return reinterpret_cast<T*>(host[lane]);
  }
};

// base + offset in every lane.
VIGOR_INLINE void add_offset(Warp& warp, const Operand& base, int64_t offset, uint64_t* addresses) {
  if (base.bytes == 8) {
    const uint64_t* plane = plane_of<uint64_t>(warp, base);
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) addresses[lane] = plane[lane] + static_cast<uint64_t>(offset);
  } else {
    const uint32_t* plane = plane_of<uint32_t>(warp, base);
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      addresses[lane] = static_cast<uint32_t>(plane[lane] + static_cast<uint64_t>(offset));
    }
  }
}

// Generic addresses of one space among `lanes`, moved into it; the others are left for another turn.
VIGOR_INLINE Space take_space(uint64_t* addresses, uint32_t& lanes) {
  const uint64_t window = addresses[__builtin_ctz(lanes)] & kWindowMask;
  uint32_t same = 0;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) same |= (addresses[lane] & kWindowMask) == window ? 1u << lane : 0u;
  lanes &= same;
  if (window != kSharedWindow && window != kLocalWindow && window != kParameterWindow) return Space::global;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) addresses[lane] &= ~kWindowMask;
  return window == kSharedWindow ? Space::shared : (window == kLocalWindow ? Space::local : Space::parameter);
}

// Checks an access of `bytes` (a power of two) a lane at at.value and finds host pointers, for `lanes` or, with generic
// addresses, some of them.
[[gnu::noinline]] static void check_addresses(Warp& warp, const Instruction& instruction, Space space, uint32_t lanes,
                                              uint32_t bytes, AccessKind kind, Addresses& at) {
  const Block& block = *warp.block;
  if (instruction.generic_address) space = take_space(at.value, lanes);
  at.lanes = lanes;

  uint64_t low = ~uint64_t{0}, high = 0, any = 0, gap = 0;
  if (lanes == kAllLanes) {
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      const uint64_t value = at.value[lane];
      low = value < low ? value : low;
      high = value > high ? value : high;
      any |= value;
      gap |= value ^ (at.value[0] + uint64_t{lane} * bytes);
    }
    at.contiguous = gap == 0;
  } else {
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      const bool takes_part = lanes >> lane & 1;
      const uint64_t value = at.value[lane];
      low = takes_part && value < low ? value : low;
      high = takes_part && value > high ? value : high;
      any |= takes_part ? value : 0;
    }
    at.contiguous = false;
  }
  if (any & (bytes - 1)) fail_alignment(warp, instruction, lanes, at.value, bytes, space);

  const auto shift_by = [&](uint64_t to_host) __attribute__((always_inline)) {
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) at.host[lane] = at.value[lane] + to_host;
  };
  const auto check_limit = [&](uint64_t limit) __attribute__((always_inline)) {
    if (high > limit || bytes > limit - high) {
      fail_bounds(warp, instruction, lanes, at.value, bytes, space, limit);
    }
  };
  switch (space) {
    case Space::global:
    case Space::constant: {
      const CachedRange& range = block.ranges[block.instruction_index(instruction) % kCachedRanges];
      const bool writes = kind != AccessKind::read && kind != AccessKind::async_read;
      if (low >= range.begin && high <= range.end && bytes <= range.end - high && (range.writable || !writes)) {
        shift_by(static_cast<uint64_t>(range.to_host));
      } else {
        find_ranges(warp, instruction, lanes, at.value, bytes, writes, at.host);
        at.contiguous = false;
      }
      break;
    }
    case Space::shared:
      check_limit(block.shared_bytes);
      shift_by(reinterpret_cast<uint64_t>(block.shared));
      break;
    case Space::local: {
      check_limit(block.local_bytes);
      const uint64_t local = reinterpret_cast<uint64_t>(warp.local);
      for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
        at.host[lane] = at.value[lane] + local + uint64_t{lane} * block.local_bytes;
      }
      at.contiguous = false;
      break;
    }
    case Space::parameter:
      check_limit(block.code->parameter_bytes);
      shift_by(reinterpret_cast<uint64_t>(block.parameters));
      break;
  }
  if (block.checker && !instruction.unchecked && space != Space::parameter) {
    tell_checker(warp, instruction, lanes, at.value, bytes, space, kind);
  }
}

// The same at base + offset.
VIGOR_INLINE void locate(Warp& warp, const Instruction& instruction, const Operand& base, int64_t offset, Space space,
                         uint32_t lanes, uint32_t bytes, AccessKind kind, Addresses& at) {
  add_offset(warp, base, offset, at.value);
  check_addresses(warp, instruction, space, lanes, bytes, kind, at);
}

}  // namespace vigor::emulator::VIGOR_ISA
