#pragma once
// For *_ops.cpp: a scalar function becomes an instruction's handler, a loop over 32 lanes that the compiler vectorises.
//
// These files are compiled once for each instruction set. The linker keeps one copy of every inline function, so all
// here is in namespace VIGOR_ISA and nothing of the C++ library is called (scripts/check-simd-symbols).
#include <cstdint>
#include <utility>

#include "kernels/emulator/instruction_table.h"
#include "kernels/emulator/warp.h"

#define VIGOR_INLINE [[gnu::always_inline]] inline

namespace vigor::emulator::VIGOR_ISA {

// PTX's names of the integer types, for the tables of instructions.
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;

// What a plane holds for a T: see Operand.
template <bool kWide>
struct StorageOf {
  using type = uint32_t;
};
template <>
struct StorageOf<true> {
  using type = uint64_t;
};
template <class T>
using Storage = typename StorageOf<(sizeof(T) > 4)>::type;

template <int kBytes>
struct BitsOf;
template <>
struct BitsOf<1> {
  using type = uint8_t;
};
template <>
struct BitsOf<2> {
  using type = uint16_t;
};
template <>
struct BitsOf<4> {
  using type = uint32_t;
};
template <>
struct BitsOf<8> {
  using type = uint64_t;
};

template <class T>
VIGOR_INLINE T from_storage(Storage<T> word) {
  return __builtin_bit_cast(T, static_cast<typename BitsOf<sizeof(T)>::type>(word));
}
template <class T>
VIGOR_INLINE Storage<T> to_storage(T value) {
  return __builtin_bit_cast(typename BitsOf<sizeof(T)>::type, value);
}

template <class T>
VIGOR_INLINE Storage<T>* plane_of(Warp& warp, const Operand& operand) {
  return static_cast<Storage<T>*>(__builtin_assume_aligned(warp.bank[operand.bank] + operand.offset, 64));
}
VIGOR_INLINE uint32_t& mask_of(Warp& warp, const Operand& operand) {
  return *reinterpret_cast<uint32_t*>(warp.bank[operand.bank] + operand.offset);
}
VIGOR_INLINE uint32_t mask_value(Warp& warp, const Operand& operand) {
  return mask_of(warp, operand) ^ (operand.negated ? kAllLanes : 0u);
}
// The word with these lanes' bits taken from `value`.
VIGOR_INLINE void set_mask(Warp& warp, const Operand& operand, uint32_t value, uint32_t lanes) {
  uint32_t& mask = mask_of(warp, operand);
  mask = (mask & ~lanes) | (value & lanes);
}

// d = f(sources...) in each lane. f is also evaluated in lanes that do not take part, whose result is dropped.
template <auto f, class D, class... S, size_t... kIndex>
VIGOR_INLINE void map_lanes(Warp& warp, const Instruction& instruction, uint32_t lanes,
                            std::index_sequence<kIndex...>) {
  Storage<D>* d = plane_of<D>(warp, instruction.operands[0]);
  const auto loop = [&](const Storage<S>*... s) __attribute__((always_inline)) {
    if (lanes == kAllLanes) {
#pragma GCC ivdep
      for (uint32_t lane = 0; lane < kWarpSize; ++lane) d[lane] = to_storage<D>(f(from_storage<S>(s[lane])...));
    } else {
#pragma GCC ivdep
      for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
        const Storage<D> value = to_storage<D>(f(from_storage<S>(s[lane])...));
        d[lane] = lanes >> lane & 1 ? value : d[lane];
      }
    }
  };
  loop(plane_of<S>(warp, instruction.operands[1 + kIndex])...);
}
template <auto f, class D, class... S>
void map(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  map_lanes<f, D, S...>(warp, instruction, lanes, std::index_sequence_for<S...>{});
}

// The same for functions that are slow or must not see other lanes' values: only lanes that take part.
template <auto f, class D, class... S, size_t... kIndex>
VIGOR_INLINE void map_each_lane(Warp& warp, const Instruction& instruction, uint32_t lanes,
                                std::index_sequence<kIndex...>) {
  Storage<D>* d = plane_of<D>(warp, instruction.operands[0]);
  const auto loop = [&](const Storage<S>*... s) __attribute__((always_inline)) {
    for (; lanes != 0; lanes &= lanes - 1) {
      const int lane = __builtin_ctz(lanes);
      d[lane] = to_storage<D>(f(from_storage<S>(s[lane])...));
    }
  };
  loop(plane_of<S>(warp, instruction.operands[1 + kIndex])...);
}
template <auto f, class D, class... S>
void map_each(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  map_each_lane<f, D, S...>(warp, instruction, lanes, std::index_sequence_for<S...>{});
}

// Letters of OpRow::operands for f's types.
template <class D, class... S>
inline constexpr char kLetters[] = {sizeof(D) > 4 ? 'D' : 'd', (sizeof(S) > 4 ? 'A' : 'a')..., '\0'};

// Rows of the table: name, then d = f(sources) by types.
template <auto f, class D, class... S>
constexpr OpRow op(const char* name, uint8_t flags = kPlain) {
  return {name, map<f, D, S...>, kLetters<D, S...>, flags};
}
template <auto f, class D, class... S>
constexpr OpRow slow_op(const char* name, uint8_t flags = kPlain) {
  return {name, map_each<f, D, S...>, kLetters<D, S...>, flags};
}

}  // namespace vigor::emulator::VIGOR_ISA
