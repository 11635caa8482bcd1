// Integer arithmetic.
#include "kernels/emulator/lanes.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

using s128 = __int128;
using u128 = unsigned __int128;

// Sums are made without signs: a signed overflow wraps on the device.
constexpr auto kAdd = [](auto a, auto b) { return static_cast<decltype(a)>(a + b); };
constexpr auto kSub = [](auto a, auto b) { return static_cast<decltype(a)>(a - b); };
constexpr auto kMulLow = [](auto a, auto b) { return static_cast<decltype(a)>(u64{a} * u64{b}); };
constexpr auto kMadLow = [](auto a, auto b, auto c) { return static_cast<decltype(a)>(u64{a} * u64{b} + u64{c}); };

template <class T>
struct Wider;
template <>
struct Wider<s16> {
  using type = s32;
};
template <>
struct Wider<u16> {
  using type = u32;
};
template <>
struct Wider<s32> {
  using type = s64;
};
template <>
struct Wider<u32> {
  using type = u64;
};
template <>
struct Wider<s64> {
  using type = s128;
};
template <>
struct Wider<u64> {
  using type = u128;
};

template <class T>
VIGOR_INLINE typename Wider<T>::type product(T a, T b) {
  return static_cast<typename Wider<T>::type>(a) * static_cast<typename Wider<T>::type>(b);
}
constexpr auto kMulHigh = [](auto a, auto b) { return static_cast<decltype(a)>(product(a, b) >> (8 * sizeof(a))); };
constexpr auto kMadHigh = [](auto a, auto b, auto c) {
  return static_cast<decltype(a)>(static_cast<u64>(product(a, b) >> (8 * sizeof(a))) + static_cast<u64>(c));
};
constexpr auto kMulWide = [](auto a, auto b) { return product(a, b); };
constexpr auto kMadWide = [](auto a, auto b, auto c) {
  return static_cast<decltype(c)>(static_cast<u64>(product(a, b)) + static_cast<u64>(c));
};
constexpr auto kMul24Low = [](auto a, auto b) {
  // The low 24 bits of each, with their sign.
  const auto low = [](auto x) { return static_cast<decltype(x)>(static_cast<decltype(x)>(u32(x) << 8) >> 8); };
  return static_cast<decltype(a)>(product(low(a), low(b)));
};
constexpr auto kMad24Low = [](auto a, auto b, auto c) {
  return static_cast<decltype(a)>(u32(kMul24Low(a, b)) + u32(c));
};

VIGOR_INLINE s32 saturate(s64 x) {
  return static_cast<s32>(x > INT32_MAX ? INT32_MAX : (x < INT32_MIN ? INT32_MIN : x));
}
constexpr auto kAddSat = [](s32 a, s32 b) { return saturate(s64{a} + b); };
constexpr auto kSubSat = [](s32 a, s32 b) { return saturate(s64{a} - b); };
constexpr auto kMadHighSat = [](s32 a, s32 b, s32 c) { return saturate((product(a, b) >> 32) + c); };

// Division by zero is unspecified in PTX; the device gives all ones, and the dividend as the remainder.
constexpr auto kDiv = [](auto a, auto b) {
  using T = decltype(a);
  if (b == 0) return static_cast<T>(~T{0});
  if (T(-1) < T(0) && b == T(-1)) return static_cast<T>(u64{0} - static_cast<u64>(a));
  return static_cast<T>(a / b);
};
constexpr auto kRem = [](auto a, auto b) {
  using T = decltype(a);
  if (b == 0) return a;
  if (T(-1) < T(0) && b == T(-1)) return T{0};
  return static_cast<T>(a % b);
};

constexpr auto kMin = [](auto a, auto b) { return b < a ? b : a; };
constexpr auto kMax = [](auto a, auto b) { return a < b ? b : a; };
constexpr auto kNeg = [](auto a) { return static_cast<decltype(a)>(u64{0} - static_cast<u64>(a)); };
constexpr auto kAbs = [](auto a) { return a < 0 ? kNeg(a) : a; };
constexpr auto kSad = [](auto a, auto b, auto c) {
  const u64 difference = a < b ? static_cast<u64>(b) - static_cast<u64>(a) : static_cast<u64>(a) - static_cast<u64>(b);
  return static_cast<decltype(c)>(static_cast<u64>(c) + difference);
};

template <class A, class B>
VIGOR_INLINE u32 dot4(u32 a, u32 b, u32 c) {
  for (int i = 0; i < 32; i += 8) c += static_cast<u32>(s32{A(a >> i)} * s32{B(b >> i)});
  return c;
}
template <class A, class B>
constexpr auto kDp4a = [](u32 a, u32 b, u32 c) { return dot4<A, B>(a, b, c); };

// dp2a: two halves of a with two bytes of b, the low or the high ones.
template <class A, class B, int kFirst>
constexpr auto kDp2a = [](u32 a, u32 b, u32 c) {
  for (int i = 0; i < 2; ++i) c += static_cast<u32>(s32{A(a >> (16 * i))} * s32{B(b >> (8 * (kFirst + i)))});
  return c;
};

constexpr auto kPopc32 = [](u32 a) { return u32(__builtin_popcount(a)); };
constexpr auto kPopc64 = [](u64 a) { return u32(__builtin_popcountll(a)); };
constexpr auto kClz32 = [](u32 a) { return a == 0 ? 32u : u32(__builtin_clz(a)); };
constexpr auto kClz64 = [](u64 a) { return a == 0 ? 64u : u32(__builtin_clzll(a)); };
// Position of the highest bit that differs from the sign; all ones when there is none.
constexpr auto kBfind32 = [](u32 a) { return a == 0 ? ~0u : 31u - u32(__builtin_clz(a)); };
constexpr auto kBfind64 = [](u64 a) { return a == 0 ? ~0u : 63u - u32(__builtin_clzll(a)); };
constexpr auto kBfindSigned32 = [](s32 a) { return kBfind32(u32(a < 0 ? ~a : a)); };
constexpr auto kBfindSigned64 = [](s64 a) { return kBfind64(u64(a < 0 ? ~a : a)); };
// .shiftamt: how far to shift left to bring that bit to the top.
template <auto bfind, u32 kTop>
constexpr auto kShiftAmount = [](auto a) {
  const u32 position = bfind(a);
  return position == ~0u ? ~0u : kTop - position;
};

// The carry flag is a predicate that the translator appends as the last operand.
enum class Carry { out, in, in_out };

// sum(a, b, c..., carry in, carry out) in each lane.
template <auto sum, Carry kCarry, class T, int kSources>
void with_carry(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Operand* operands = instruction.operands;
  T* d = plane_of<T>(warp, operands[0]);
  const T* s[3] = {};
  for (int i = 0; i < kSources; ++i) s[i] = plane_of<T>(warp, operands[1 + i]);
  const Operand& flag = operands[1 + kSources];
  const u32 in = kCarry == Carry::out ? 0 : mask_of(warp, flag);
  u32 out = 0;
  for (u32 rest = lanes; rest != 0; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    bool carry = in >> lane & 1;
    d[lane] = sum(s[0][lane], s[1][lane], kSources == 3 ? s[kSources - 1][lane] : T{0}, carry);
    out |= u32{carry} << lane;
  }
  if (kCarry != Carry::in) set_mask(warp, flag, out, lanes);
}
template <class T>
VIGOR_INLINE T add_carry(T a, T b, bool& carry) {
  const u128 sum = u128{a} + b + carry;
  carry = sum >> (8 * sizeof(T)) != 0;
  return static_cast<T>(sum);
}
constexpr auto kAddCarry = [](auto a, auto b, auto, bool& carry) { return add_carry(a, b, carry); };
constexpr auto kSubBorrow = [](auto a, auto b, auto, bool& carry) {
  const u128 difference = u128{a} - b - carry;
  carry = difference >> (8 * sizeof(a)) != 0;
  return static_cast<decltype(a)>(difference);
};
constexpr auto kMadLowCarry = [](auto a, auto b, auto c, bool& carry) {
  return add_carry(static_cast<decltype(a)>(u128{a} * b), c, carry);
};
constexpr auto kMadHighCarry = [](auto a, auto b, auto c, bool& carry) {
  return add_carry(static_cast<decltype(a)>((u128{a} * b) >> (8 * sizeof(a))), c, carry);
};

template <auto sum, Carry kCarry, class T, int kSources>
constexpr OpRow carry_op(const char* name) {
  constexpr bool kWide = sizeof(T) == 8;
  return {name, with_carry<sum, kCarry, T, kSources>,
          kSources == 2 ? (kWide ? "DAAk" : "daak") : (kWide ? "DAAAk" : "daaak")};
}

constexpr OpRow kRows[] = {
    op<kAdd, u16, u16, u16>("add.u16"),
    op<kAdd, u16, u16, u16>("add.s16"),
    op<kAdd, u32, u32, u32>("add.u32"),
    op<kAdd, u32, u32, u32>("add.s32"),
    op<kAdd, u64, u64, u64>("add.u64"),
    op<kAdd, u64, u64, u64>("add.s64"),
    op<kAddSat, s32, s32, s32>("add.sat.s32"),
    op<kSub, u16, u16, u16>("sub.u16"),
    op<kSub, u16, u16, u16>("sub.s16"),
    op<kSub, u32, u32, u32>("sub.u32"),
    op<kSub, u32, u32, u32>("sub.s32"),
    op<kSub, u64, u64, u64>("sub.u64"),
    op<kSub, u64, u64, u64>("sub.s64"),
    op<kSubSat, s32, s32, s32>("sub.sat.s32"),

    op<kMulLow, u16, u16, u16>("mul.lo.u16"),
    op<kMulLow, u16, u16, u16>("mul.lo.s16"),
    op<kMulLow, u32, u32, u32>("mul.lo.u32"),
    op<kMulLow, u32, u32, u32>("mul.lo.s32"),
    op<kMulLow, u64, u64, u64>("mul.lo.u64"),
    op<kMulLow, u64, u64, u64>("mul.lo.s64"),
    op<kMulHigh, u16, u16, u16>("mul.hi.u16"),
    op<kMulHigh, s16, s16, s16>("mul.hi.s16"),
    op<kMulHigh, u32, u32, u32>("mul.hi.u32"),
    op<kMulHigh, s32, s32, s32>("mul.hi.s32"),
    op<kMulHigh, u64, u64, u64>("mul.hi.u64"),
    op<kMulHigh, s64, s64, s64>("mul.hi.s64"),
    op<kMulWide, u32, u16, u16>("mul.wide.u16"),
    op<kMulWide, s32, s16, s16>("mul.wide.s16"),
    op<kMulWide, u64, u32, u32>("mul.wide.u32"),
    op<kMulWide, s64, s32, s32>("mul.wide.s32"),
    op<kMul24Low, u32, u32, u32>("mul24.lo.u32"),
    op<kMul24Low, s32, s32, s32>("mul24.lo.s32"),

    op<kMadLow, u16, u16, u16, u16>("mad.lo.u16"),
    op<kMadLow, u16, u16, u16, u16>("mad.lo.s16"),
    op<kMadLow, u32, u32, u32, u32>("mad.lo.u32"),
    op<kMadLow, u32, u32, u32, u32>("mad.lo.s32"),
    op<kMadLow, u64, u64, u64, u64>("mad.lo.u64"),
    op<kMadLow, u64, u64, u64, u64>("mad.lo.s64"),
    op<kMadHigh, u32, u32, u32, u32>("mad.hi.u32"),
    op<kMadHigh, s32, s32, s32, s32>("mad.hi.s32"),
    op<kMadHigh, u64, u64, u64, u64>("mad.hi.u64"),
    op<kMadHigh, s64, s64, s64, s64>("mad.hi.s64"),
    op<kMadHighSat, s32, s32, s32, s32>("mad.hi.sat.s32"),
    op<kMadWide, u32, u16, u16, u32>("mad.wide.u16"),
    op<kMadWide, s32, s16, s16, s32>("mad.wide.s16"),
    op<kMadWide, u64, u32, u32, u64>("mad.wide.u32"),
    op<kMadWide, s64, s32, s32, s64>("mad.wide.s32"),
    op<kMad24Low, u32, u32, u32, u32>("mad24.lo.u32"),
    op<kMad24Low, s32, s32, s32, s32>("mad24.lo.s32"),

    slow_op<kDiv, u16, u16, u16>("div.u16"),
    slow_op<kDiv, s16, s16, s16>("div.s16"),
    slow_op<kDiv, u32, u32, u32>("div.u32"),
    slow_op<kDiv, s32, s32, s32>("div.s32"),
    slow_op<kDiv, u64, u64, u64>("div.u64"),
    slow_op<kDiv, s64, s64, s64>("div.s64"),
    slow_op<kRem, u16, u16, u16>("rem.u16"),
    slow_op<kRem, s16, s16, s16>("rem.s16"),
    slow_op<kRem, u32, u32, u32>("rem.u32"),
    slow_op<kRem, s32, s32, s32>("rem.s32"),
    slow_op<kRem, u64, u64, u64>("rem.u64"),
    slow_op<kRem, s64, s64, s64>("rem.s64"),

    op<kMin, u16, u16, u16>("min.u16"),
    op<kMin, s16, s16, s16>("min.s16"),
    op<kMin, u32, u32, u32>("min.u32"),
    op<kMin, s32, s32, s32>("min.s32"),
    op<kMin, u64, u64, u64>("min.u64"),
    op<kMin, s64, s64, s64>("min.s64"),
    op<kMax, u16, u16, u16>("max.u16"),
    op<kMax, s16, s16, s16>("max.s16"),
    op<kMax, u32, u32, u32>("max.u32"),
    op<kMax, s32, s32, s32>("max.s32"),
    op<kMax, u64, u64, u64>("max.u64"),
    op<kMax, s64, s64, s64>("max.s64"),
    op<kNeg, s16, s16>("neg.s16"),
    op<kNeg, s32, s32>("neg.s32"),
    op<kNeg, s64, s64>("neg.s64"),
    op<kAbs, s16, s16>("abs.s16"),
    op<kAbs, s32, s32>("abs.s32"),
    op<kAbs, s64, s64>("abs.s64"),
    op<kSad, u32, u32, u32, u32>("sad.u32"),
    op<kSad, s32, s32, s32, s32>("sad.s32"),

    op<kDp4a<u8, u8>, u32, u32, u32, u32>("dp4a.u32.u32"),
    op<kDp4a<u8, s8>, u32, u32, u32, u32>("dp4a.u32.s32"),
    op<kDp4a<s8, u8>, u32, u32, u32, u32>("dp4a.s32.u32"),
    op<kDp4a<s8, s8>, u32, u32, u32, u32>("dp4a.s32.s32"),

    op<kDp2a<u16, u8, 0>, u32, u32, u32, u32>("dp2a.lo.u32.u32"),
    op<kDp2a<u16, u8, 2>, u32, u32, u32, u32>("dp2a.hi.u32.u32"),
    op<kDp2a<s16, s8, 0>, u32, u32, u32, u32>("dp2a.lo.s32.s32"),
    op<kDp2a<s16, s8, 2>, u32, u32, u32, u32>("dp2a.hi.s32.s32"),

    op<kPopc32, u32, u32>("popc.b32"),
    op<kPopc64, u32, u64>("popc.b64"),
    op<kClz32, u32, u32>("clz.b32"),
    op<kClz64, u32, u64>("clz.b64"),
    op<kBfind32, u32, u32>("bfind.u32"),
    op<kBfindSigned32, u32, s32>("bfind.s32"),
    op<kBfind64, u32, u64>("bfind.u64"),
    op<kBfindSigned64, u32, s64>("bfind.s64"),
    op<kShiftAmount<kBfind32, 31>, u32, u32>("bfind.shiftamt.u32"),
    op<kShiftAmount<kBfindSigned32, 31>, u32, s32>("bfind.shiftamt.s32"),
    op<kShiftAmount<kBfind64, 63>, u32, u64>("bfind.shiftamt.u64"),
    op<kShiftAmount<kBfindSigned64, 63>, u32, s64>("bfind.shiftamt.s64"),

    carry_op<kAddCarry, Carry::out, u32, 2>("add.cc.u32"),
    carry_op<kAddCarry, Carry::in, u32, 2>("addc.u32"),
    carry_op<kAddCarry, Carry::in_out, u32, 2>("addc.cc.u32"),
    carry_op<kSubBorrow, Carry::out, u32, 2>("sub.cc.u32"),
    carry_op<kSubBorrow, Carry::in, u32, 2>("subc.u32"),
    carry_op<kSubBorrow, Carry::in_out, u32, 2>("subc.cc.u32"),
    carry_op<kMadLowCarry, Carry::out, u32, 3>("mad.lo.cc.u32"),
    carry_op<kMadLowCarry, Carry::in, u32, 3>("madc.lo.u32"),
    carry_op<kMadLowCarry, Carry::in_out, u32, 3>("madc.lo.cc.u32"),
    carry_op<kMadHighCarry, Carry::out, u32, 3>("mad.hi.cc.u32"),
    carry_op<kMadHighCarry, Carry::in, u32, 3>("madc.hi.u32"),
    carry_op<kMadHighCarry, Carry::in_out, u32, 3>("madc.hi.cc.u32"),
    carry_op<kAddCarry, Carry::out, u64, 2>("add.cc.u64"),
    carry_op<kAddCarry, Carry::in, u64, 2>("addc.u64"),
    carry_op<kAddCarry, Carry::in_out, u64, 2>("addc.cc.u64"),
    carry_op<kSubBorrow, Carry::out, u64, 2>("sub.cc.u64"),
    carry_op<kSubBorrow, Carry::in, u64, 2>("subc.u64"),
    carry_op<kSubBorrow, Carry::in_out, u64, 2>("subc.cc.u64"),
    carry_op<kMadLowCarry, Carry::out, u64, 3>("mad.lo.cc.u64"),
    carry_op<kMadLowCarry, Carry::in, u64, 3>("madc.lo.u64"),
    carry_op<kMadLowCarry, Carry::in_out, u64, 3>("madc.lo.cc.u64"),
    carry_op<kMadHighCarry, Carry::out, u64, 3>("mad.hi.cc.u64"),
    carry_op<kMadHighCarry, Carry::in, u64, 3>("madc.hi.u64"),
    carry_op<kMadHighCarry, Carry::in_out, u64, 3>("madc.hi.cc.u64"),
};

}  // namespace

RowTable integer_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
