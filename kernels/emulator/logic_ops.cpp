// Bits: logic, shifts, fields, permutations, selection, moves, packing; and logic of predicates.
#include "kernels/emulator/lanes.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

constexpr auto kAnd = [](auto a, auto b) { return static_cast<decltype(a)>(a & b); };
constexpr auto kOr = [](auto a, auto b) { return static_cast<decltype(a)>(a | b); };
constexpr auto kXor = [](auto a, auto b) { return static_cast<decltype(a)>(a ^ b); };
constexpr auto kNot = [](auto a) { return static_cast<decltype(a)>(~a); };
constexpr auto kLogicalNot = [](auto a) { return static_cast<decltype(a)>(a == 0); };
constexpr auto kSame = [](auto a) { return a; };

// Shifts by the width or more: zeros, or the sign.
constexpr auto kShiftLeft = [](auto a, u32 n) {
  return static_cast<decltype(a)>(n < 8 * sizeof(a) ? static_cast<decltype(a)>(a << (n % (8 * sizeof(a)))) : 0);
};
constexpr auto kShiftRight = [](auto a, u32 n) {
  constexpr u32 kBits = 8 * sizeof(a);
  if constexpr (static_cast<decltype(a)>(-1) < 0) {
    return static_cast<decltype(a)>(a >> (n < kBits ? n : kBits - 1));
  } else {
    return static_cast<decltype(a)>(n < kBits ? static_cast<decltype(a)>(a >> (n % kBits)) : 0);
  }
};

// The middle of the 64 bits high:low, shifted; the amount wraps at 32 or stops there.
VIGOR_INLINE u64 join(u32 low, u32 high) { return u64{high} << 32 | low; }
constexpr auto kFunnelLeftWrap = [](u32 low, u32 high, u32 n) { return u32((join(low, high) << (n & 31)) >> 32); };
constexpr auto kFunnelRightWrap = [](u32 low, u32 high, u32 n) { return u32(join(low, high) >> (n & 31)); };
constexpr auto kFunnelLeftClamp = [](u32 low, u32 high, u32 n) {
  return u32((join(low, high) << (n < 32 ? n : 32)) >> 32);
};
constexpr auto kFunnelRightClamp = [](u32 low, u32 high, u32 n) { return u32(join(low, high) >> (n < 32 ? n : 32)); };

// bfe: `length` bits from `position`; beyond the top there are zeros, or copies of the sign.
template <class T>
VIGOR_INLINE T extract(T a, u32 position, u32 length) {
  using U = typename BitsOf<sizeof(T)>::type;
  constexpr u32 kBits = 8 * sizeof(T);
  position &= 0xff;
  length &= 0xff;
  if (length == 0) return 0;
  const u32 last = position + length - 1 < kBits - 1 ? position + length - 1 : kBits - 1;
  const bool sign = T(-1) < T(0) && (static_cast<U>(a) >> last & 1);
  const U field = position < kBits ? static_cast<U>(static_cast<U>(a) >> position) : U{0};
  const U keep = length < kBits ? (U{1} << length) - 1 : ~U{0};
  const u32 real = position < kBits ? kBits - position : 0;  // bits that exist
  const U beyond = real < kBits ? ~U{0} << real : U{0};
  U result = field & keep;
  if (sign) {
    result |= ~keep;
    if (real < length) result |= beyond;
  }
  return static_cast<T>(result);
}
constexpr auto kExtract = [](auto a, u32 position, u32 length) { return extract(a, position, length); };
// bfi: b with `length` bits of a put in at `position`.
constexpr auto kInsert = [](auto a, auto b, u32 position, u32 length) {
  using U = decltype(a);
  constexpr u32 kBits = 8 * sizeof(U);
  position &= 0xff;
  length &= 0xff;
  if (position >= kBits || length == 0) return b;
  const U ones = length < kBits ? (U{1} << length) - 1 : ~U{0};
  const U mask = static_cast<U>(ones << position);
  return static_cast<U>((b & ~mask) | ((a << position) & mask));
};

VIGOR_INLINE u32 reverse32(u32 x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}
constexpr auto kReverse32 = [](u32 a) { return reverse32(a); };
constexpr auto kReverse64 = [](u64 a) { return join(reverse32(u32(a >> 32)), reverse32(u32(a))); };

// prmt: four bytes chosen from the eight of b:a; a selector's top bit spreads that byte's sign.
constexpr auto kPermute = [](u32 a, u32 b, u32 selectors) {
  u32 result = 0;
  for (u32 i = 0; i < 4; ++i) {
    const u32 selector = selectors >> (4 * i) & 0xf;
    u32 byte = u32(join(a, b) >> (8 * (selector & 7))) & 0xff;
    if (selector & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
};

// lop3: bit by bit, the table's bit number 4a + 2b + c.
constexpr auto kLop3 = [](u32 a, u32 b, u32 c, u32 table) {
  u32 result = 0;
  for (u32 i = 0; i < 8; ++i) {
    const u32 minterm = (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    result |= minterm & (table >> i & 1 ? ~0u : 0u);
  }
  return result;
};

constexpr auto kSelectSign = [](auto a, auto b, s32 c) { return c >= 0 ? a : b; };
constexpr auto kSelectSignFloat = [](auto a, auto b, float c) { return c >= 0 ? a : b; };

template <class T>
void select(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  Storage<T>* d = plane_of<T>(warp, instruction.operands[0]);
  const Storage<T>* a = plane_of<T>(warp, instruction.operands[1]);
  const Storage<T>* b = plane_of<T>(warp, instruction.operands[2]);
  const u32 choose = mask_value(warp, instruction.operands[3]);
#pragma GCC ivdep
  for (u32 lane = 0; lane < kWarpSize; ++lane) {
    const Storage<T> value = choose >> lane & 1 ? a[lane] : b[lane];
    d[lane] = lanes >> lane & 1 ? value : d[lane];
  }
}

// mov between a register and a vector of `count` parts.
template <class Whole, class Part>
void unpack(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  constexpr u32 kParts = sizeof(Whole) / sizeof(Part);
  alignas(64) Whole whole[kWarpSize];
  __builtin_memcpy(whole, plane_of<Whole>(warp, instruction.operands[kParts]), sizeof(whole));
  for (u32 part = 0; part < kParts; ++part) {
    if (!instruction.operands[part].present) continue;  // {%r1, _}
    Storage<Part>* d = plane_of<Part>(warp, instruction.operands[part]);
    for (u32 lane = 0; lane < kWarpSize; ++lane) {
      const Part value = static_cast<Part>(whole[lane] >> (8 * sizeof(Part) * part));
      d[lane] = lanes >> lane & 1 ? value : d[lane];
    }
  }
}
template <class Whole, class Part>
void pack(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  constexpr u32 kParts = sizeof(Whole) / sizeof(Part);
  alignas(64) Whole whole[kWarpSize] = {};
  for (u32 part = 0; part < kParts; ++part) {
    const Storage<Part>* s = plane_of<Part>(warp, instruction.operands[1 + part]);
    for (u32 lane = 0; lane < kWarpSize; ++lane) {
      whole[lane] |= static_cast<Whole>(static_cast<Part>(s[lane])) << (8 * sizeof(Part) * part);
    }
  }
  Whole* d = plane_of<Whole>(warp, instruction.operands[0]);
  for (u32 lane = 0; lane < kWarpSize; ++lane) d[lane] = lanes >> lane & 1 ? whole[lane] : d[lane];
}

// Predicates are words with a bit a lane.
template <auto f>
void logic1(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  set_mask(warp, instruction.operands[0], f(mask_value(warp, instruction.operands[1])), lanes);
}
template <auto f>
void logic2(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  set_mask(warp, instruction.operands[0],
           f(mask_value(warp, instruction.operands[1]), mask_value(warp, instruction.operands[2])), lanes);
}

constexpr OpRow kRows[] = {
    op<kAnd, u16, u16, u16>("and.b16"),
    op<kAnd, u32, u32, u32>("and.b32"),
    op<kAnd, u64, u64, u64>("and.b64"),
    op<kOr, u16, u16, u16>("or.b16"),
    op<kOr, u32, u32, u32>("or.b32"),
    op<kOr, u64, u64, u64>("or.b64"),
    op<kXor, u16, u16, u16>("xor.b16"),
    op<kXor, u32, u32, u32>("xor.b32"),
    op<kXor, u64, u64, u64>("xor.b64"),
    op<kNot, u16, u16>("not.b16"),
    op<kNot, u32, u32>("not.b32"),
    op<kNot, u64, u64>("not.b64"),
    op<kLogicalNot, u16, u16>("cnot.b16"),
    op<kLogicalNot, u32, u32>("cnot.b32"),
    op<kLogicalNot, u64, u64>("cnot.b64"),
    {"and.pred", logic2<kAnd>, "pcc"},
    {"or.pred", logic2<kOr>, "pcc"},
    {"xor.pred", logic2<kXor>, "pcc"},
    {"not.pred", logic1<kNot>, "pc"},
    {"mov.pred", logic1<kSame>, "pc"},
    op<kLop3, u32, u32, u32, u32, u32>("lop3.b32"),

    op<kShiftLeft, u16, u16, u32>("shl.b16"),
    op<kShiftLeft, u32, u32, u32>("shl.b32"),
    op<kShiftLeft, u64, u64, u32>("shl.b64"),
    op<kShiftRight, u16, u16, u32>("shr.b16"),
    op<kShiftRight, u16, u16, u32>("shr.u16"),
    op<kShiftRight, s16, s16, u32>("shr.s16"),
    op<kShiftRight, u32, u32, u32>("shr.b32"),
    op<kShiftRight, u32, u32, u32>("shr.u32"),
    op<kShiftRight, s32, s32, u32>("shr.s32"),
    op<kShiftRight, u64, u64, u32>("shr.b64"),
    op<kShiftRight, u64, u64, u32>("shr.u64"),
    op<kShiftRight, s64, s64, u32>("shr.s64"),
    op<kFunnelLeftWrap, u32, u32, u32, u32>("shf.l.wrap.b32"),
    op<kFunnelRightWrap, u32, u32, u32, u32>("shf.r.wrap.b32"),
    op<kFunnelLeftClamp, u32, u32, u32, u32>("shf.l.clamp.b32"),
    op<kFunnelRightClamp, u32, u32, u32, u32>("shf.r.clamp.b32"),

    op<kExtract, u32, u32, u32, u32>("bfe.u32"),
    op<kExtract, s32, s32, u32, u32>("bfe.s32"),
    op<kExtract, u64, u64, u32, u32>("bfe.u64"),
    op<kExtract, s64, s64, u32, u32>("bfe.s64"),
    op<kInsert, u32, u32, u32, u32, u32>("bfi.b32"),
    op<kInsert, u64, u64, u64, u32, u32>("bfi.b64"),
    op<kReverse32, u32, u32>("brev.b32"),
    op<kReverse64, u64, u64>("brev.b64"),
    op<kPermute, u32, u32, u32, u32>("prmt.b32"),

    {"selp.b16", select<u16>, "daac"},
    {"selp.u16", select<u16>, "daac"},
    {"selp.s16", select<u16>, "daac"},
    {"selp.b32", select<u32>, "daac"},
    {"selp.u32", select<u32>, "daac"},
    {"selp.s32", select<u32>, "daac"},
    {"selp.f32", select<u32>, "daac"},
    {"selp.b64", select<u64>, "DAAc"},
    {"selp.u64", select<u64>, "DAAc"},
    {"selp.s64", select<u64>, "DAAc"},
    {"selp.f64", select<u64>, "DAAc"},
    op<kSelectSign, u32, u32, u32, s32>("slct.b32.s32"),
    op<kSelectSign, u32, u32, u32, s32>("slct.u32.s32"),
    op<kSelectSign, u32, u32, u32, s32>("slct.s32.s32"),
    op<kSelectSign, u32, u32, u32, s32>("slct.f32.s32"),
    op<kSelectSign, u64, u64, u64, s32>("slct.b64.s32"),
    op<kSelectSign, u64, u64, u64, s32>("slct.u64.s32"),
    op<kSelectSign, u64, u64, u64, s32>("slct.s64.s32"),
    op<kSelectSign, u64, u64, u64, s32>("slct.f64.s32"),
    op<kSelectSignFloat, u32, u32, u32, float>("slct.b32.f32", kFlushes),
    op<kSelectSignFloat, u32, u32, u32, float>("slct.u32.f32", kFlushes),
    op<kSelectSignFloat, u32, u32, u32, float>("slct.s32.f32", kFlushes),
    op<kSelectSignFloat, u32, u32, u32, float>("slct.f32.f32", kFlushes),
    op<kSelectSignFloat, u64, u64, u64, float>("slct.b64.f32", kFlushes),
    op<kSelectSignFloat, u64, u64, u64, float>("slct.f64.f32", kFlushes),

    op<kSame, u32, u32>("mov.b16"),
    op<kSame, u32, u32>("mov.u16"),
    op<kSame, u32, u32>("mov.s16"),
    op<kSame, u32, u32>("mov.b32"),
    op<kSame, u32, u32>("mov.u32"),
    op<kSame, u32, u32>("mov.s32"),
    op<kSame, u32, u32>("mov.f32"),
    op<kSame, u64, u64>("mov.b64"),
    op<kSame, u64, u64>("mov.u64"),
    op<kSame, u64, u64>("mov.s64"),
    op<kSame, u64, u64>("mov.f64"),
    // Widths that differ: the translator's own, around instructions whose register is wider than their type.
    op<[](u64 a) { return u32(a); }, u32, u64>("narrow"),
    op<[](u32 a) { return u64{a}; }, u64, u32>("widen"),
    op<[](s32 a) { return s64{a}; }, s64, s32>("widen.signed"),
    // mov.b32 {a, b}, r and back; the translator counts the parts.
    {"unpack2.b32", unpack<u32, u16>, "dda"},
    {"unpack2.b64", unpack<u64, u32>, "ddA"},
    {"unpack4.b64", unpack<u64, u16>, "ddddA"},
    {"unpack4.b32", unpack<u32, uint8_t>, "dddda"},
    {"unpack2.b16", unpack<u16, uint8_t>, "dda"},
    {"pack2.b32", pack<u32, u16>, "daa"},
    {"pack2.b64", pack<u64, u32>, "Daa"},
    {"pack4.b64", pack<u64, u16>, "Daaaa"},
    {"pack4.b32", pack<u32, uint8_t>, "daaaa"},
};

}  // namespace

RowTable logic_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
