// atom and red. Blocks may run on several CPU threads, so these are the processor's atomic operations.
#include "kernels/emulator/addresses.h"
#include "kernels/emulator/half.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

template <class T>
constexpr auto kAdd = [](T old, T a) { return static_cast<T>(old + a); };
template <class T>
constexpr auto kMin = [](T old, T a) { return a < old ? a : old; };
template <class T>
constexpr auto kMax = [](T old, T a) { return old < a ? a : old; };
constexpr auto kAnd = [](auto old, auto a) { return static_cast<decltype(old)>(old & a); };
constexpr auto kOr = [](auto old, auto a) { return static_cast<decltype(old)>(old | a); };
constexpr auto kXor = [](auto old, auto a) { return static_cast<decltype(old)>(old ^ a); };
constexpr auto kExchange = [](auto, auto a) { return a; };
constexpr auto kIncrement = [](u32 old, u32 a) { return old >= a ? 0u : old + 1; };
constexpr auto kDecrement = [](u32 old, u32 a) { return old == 0 || old > a ? a : old - 1; };
template <class T>
constexpr auto kAddHalf = [](T old, T a) { return round_to<T>(to_float(old) + to_float(a)); };
template <class T>
constexpr auto kAddPair = [](Pair<T> old, Pair<T> a) {
  return Pair<T>{kAddHalf<T>(old.low, a.low), kAddHalf<T>(old.high, a.high)};
};

// Replaces *at by f(*at, a) in one step; the old value.
template <auto f, class T>
VIGOR_INLINE T replace(void* address, T a) {
  using Bits = typename BitsOf<sizeof(T)>::type;
  Bits* at = static_cast<Bits*>(address);
  Bits old = __atomic_load_n(at, __ATOMIC_RELAXED);
  Bits next;
  do next = __builtin_bit_cast(Bits, static_cast<T>(f(__builtin_bit_cast(T, old), a)));
  while (!__atomic_compare_exchange_n(at, &old, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  return __builtin_bit_cast(T, old);
}

// atom d, [m], a  or, without a destination,  red [m], a.  Lanes in order.
template <auto f, class T, bool kReturns>
void update(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  constexpr uint32_t kFirst = kReturns ? 1 : 0;
  const Storage<T>* a = plane_of<T>(warp, instruction.operands[kFirst + 1]);
  Addresses at;
  for (; lanes != 0; lanes &= ~at.lanes) {
    locate(warp, instruction, instruction.operands[kFirst], instruction.immediate, instruction.space, lanes, sizeof(T),
           AccessKind::atomic, at);
    for (uint32_t rest = at.lanes; rest != 0; rest &= rest - 1) {
      const auto lane = static_cast<uint32_t>(__builtin_ctz(rest));
      const T old = replace<f, T>(at.pointer<void>(lane), from_storage<T>(a[lane]));
      if (kReturns) plane_of<T>(warp, instruction.operands[0])[lane] = to_storage<T>(old);
    }
  }
}

// atom.cas d, [m], compare, value.
template <class T>
void compare_and_swap(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  Storage<T>* d = plane_of<T>(warp, instruction.operands[0]);
  const Storage<T>* compare = plane_of<T>(warp, instruction.operands[2]);
  const Storage<T>* value = plane_of<T>(warp, instruction.operands[3]);
  Addresses at;
  for (; lanes != 0; lanes &= ~at.lanes) {
    locate(warp, instruction, instruction.operands[1], instruction.immediate, instruction.space, lanes, sizeof(T),
           AccessKind::atomic, at);
    for (uint32_t rest = at.lanes; rest != 0; rest &= rest - 1) {
      const auto lane = static_cast<uint32_t>(__builtin_ctz(rest));
      T expected = static_cast<T>(compare[lane]);
      __atomic_compare_exchange_n(at.pointer<T>(lane), &expected, static_cast<T>(value[lane]), false, __ATOMIC_SEQ_CST,
                                  __ATOMIC_SEQ_CST);
      d[lane] = expected;
    }
  }
}

#define VIGOR_ATOMIC(name, f, type)                                                     \
  OpRow{"atom." name, update<f, type, true>, sizeof(type) > 4 ? "DmA" : "dma"}, OpRow { \
    "red." name, update<f, type, false>, sizeof(type) > 4 ? "mA" : "ma"                 \
  }

constexpr OpRow kRows[] = {
    VIGOR_ATOMIC("add.u32", kAdd<u32>, u32),
    VIGOR_ATOMIC("add.s32", kAdd<u32>, u32),
    VIGOR_ATOMIC("add.u64", kAdd<u64>, u64),
    VIGOR_ATOMIC("add.s64", kAdd<u64>, u64),
    VIGOR_ATOMIC("add.f32", kAdd<float>, float),
    VIGOR_ATOMIC("add.f64", kAdd<double>, double),
    VIGOR_ATOMIC("add.f16", kAddHalf<F16>, F16),
    VIGOR_ATOMIC("add.bf16", kAddHalf<Bf16>, Bf16),
    VIGOR_ATOMIC("add.f16x2", kAddPair<F16>, Pair<F16>),
    VIGOR_ATOMIC("add.bf16x2", kAddPair<Bf16>, Pair<Bf16>),
    VIGOR_ATOMIC("min.u32", kMin<u32>, u32),
    VIGOR_ATOMIC("min.s32", kMin<int32_t>, int32_t),
    VIGOR_ATOMIC("min.u64", kMin<u64>, u64),
    VIGOR_ATOMIC("min.s64", kMin<int64_t>, int64_t),
    VIGOR_ATOMIC("max.u32", kMax<u32>, u32),
    VIGOR_ATOMIC("max.s32", kMax<int32_t>, int32_t),
    VIGOR_ATOMIC("max.u64", kMax<u64>, u64),
    VIGOR_ATOMIC("max.s64", kMax<int64_t>, int64_t),
    VIGOR_ATOMIC("and.b32", kAnd, u32),
    VIGOR_ATOMIC("and.b64", kAnd, u64),
    VIGOR_ATOMIC("or.b32", kOr, u32),
    VIGOR_ATOMIC("or.b64", kOr, u64),
    VIGOR_ATOMIC("xor.b32", kXor, u32),
    VIGOR_ATOMIC("xor.b64", kXor, u64),
    VIGOR_ATOMIC("exch.b32", kExchange, u32),
    VIGOR_ATOMIC("exch.b64", kExchange, u64),
    VIGOR_ATOMIC("inc.u32", kIncrement, u32),
    VIGOR_ATOMIC("dec.u32", kDecrement, u32),
    {"atom.cas.b16", compare_and_swap<uint16_t>, "dmaa"},
    {"atom.cas.b32", compare_and_swap<u32>, "dmaa"},
    {"atom.cas.b64", compare_and_swap<u64>, "DmAA"},
};

}  // namespace

RowTable atomic_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
