// setp and set: comparisons.
#include "kernels/emulator/half.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

constexpr auto kEq = [](auto a, auto b) { return a == b; };
constexpr auto kNe = [](auto a, auto b) { return a != b; };
constexpr auto kLt = [](auto a, auto b) { return a < b; };
constexpr auto kLe = [](auto a, auto b) { return a <= b; };
constexpr auto kGt = [](auto a, auto b) { return a > b; };
constexpr auto kGe = [](auto a, auto b) { return a >= b; };
// Floating point: the plain ones are false with a NaN (also ne), the ...u ones true.
constexpr auto kNan = [](auto a, auto b) { return a != a || b != b; };
constexpr auto kNum = [](auto a, auto b) { return a == a && b == b; };
constexpr auto kNeNum = [](auto a, auto b) { return a < b || a > b; };
constexpr auto kEqu = [](auto a, auto b) { return !(a < b || a > b); };
constexpr auto kNeu = [](auto a, auto b) { return !(a == b); };
constexpr auto kLtu = [](auto a, auto b) { return !(a >= b); };
constexpr auto kLeu = [](auto a, auto b) { return !(a > b); };
constexpr auto kGtu = [](auto a, auto b) { return !(a <= b); };
constexpr auto kGeu = [](auto a, auto b) { return !(a < b); };

VIGOR_INLINE float comparable(F16 x) { return to_float(x); }
VIGOR_INLINE float comparable(Bf16 x) { return to_float(x); }
template <class T>
VIGOR_INLINE T comparable(T x) {
  return x;
}

VIGOR_INLINE uint32_t combine(Combine how, uint32_t a, uint32_t b) {
  switch (how) {
    case Combine::none:
      break;
    case Combine::and_:
      return a & b;
    case Combine::or_:
      return a | b;
    case Combine::xor_:
      return a ^ b;
  }
  return a;
}

// p = a ? b, |q = !(a ? b); with .and/.or/.xor both are combined with c.
template <auto question, class T>
void compare(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Storage<T>* a = plane_of<T>(warp, instruction.operands[2]);
  const Storage<T>* b = plane_of<T>(warp, instruction.operands[3]);
  uint32_t bits = 0;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    bits |= question(comparable(from_storage<T>(a[lane])), comparable(from_storage<T>(b[lane]))) ? 1u << lane : 0u;
  }
  const Combine how = instruction.combine;
  const uint32_t c = how == Combine::none ? 0 : mask_value(warp, instruction.operands[4]);
  set_mask(warp, instruction.operands[0], combine(how, bits, c), lanes);
  if (instruction.operands[1].present) set_mask(warp, instruction.operands[1], combine(how, ~bits, c), lanes);
}

// setp on pairs: p for the low halves, q for the high ones.
template <auto question, class T>
void compare_pairs(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const uint32_t* a = plane_of<Pair<T>>(warp, instruction.operands[2]);
  const uint32_t* b = plane_of<Pair<T>>(warp, instruction.operands[3]);
  uint32_t low = 0, high = 0;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    const auto x = from_storage<Pair<T>>(a[lane]), y = from_storage<Pair<T>>(b[lane]);
    low |= question(to_float(x.low), to_float(y.low)) ? 1u << lane : 0u;
    high |= question(to_float(x.high), to_float(y.high)) ? 1u << lane : 0u;
  }
  const Combine how = instruction.combine;
  const uint32_t c = how == Combine::none ? 0 : mask_value(warp, instruction.operands[4]);
  set_mask(warp, instruction.operands[0], combine(how, low, c), lanes);
  if (instruction.operands[1].present) set_mask(warp, instruction.operands[1], combine(how, high, c), lanes);
}

// set: all ones, or 1.0 in the destination's type.
template <auto question>
constexpr auto kOnes = [](auto a, auto b) { return question(comparable(a), comparable(b)) ? ~0u : 0u; };
template <auto question>
constexpr auto kOne = [](auto a, auto b) { return question(comparable(a), comparable(b)) ? 1.0f : 0.0f; };
template <auto question, class T>
constexpr auto kOneHalf = [](T a, T b) { return round_to<T>(question(to_float(a), to_float(b)) ? 1.0f : 0.0f); };
template <auto question, class T>
constexpr auto kPairOnes = [](Pair<T> a, Pair<T> b) {
  return (question(to_float(a.low), to_float(b.low)) ? 0xffffu : 0u) |
         (question(to_float(a.high), to_float(b.high)) ? 0xffff0000u : 0u);
};
template <auto question, class T>
constexpr auto kPairOne = [](Pair<T> a, Pair<T> b) {
  const T one = round_to<T>(1.0f), zero = round_to<T>(0.0f);
  return Pair<T>{question(to_float(a.low), to_float(b.low)) ? one : zero,
                 question(to_float(a.high), to_float(b.high)) ? one : zero};
};

// .ftz: only f32 has it here.
#define VIGOR_SETP(name, question, type)                                       \
  OpRow {                                                                      \
    "setp." name, compare<question, type>, sizeof(type) > 4 ? "pqAA" : "pqaa", \
        __is_same(type, float) ? kFlushes : kPlain                             \
  }
#define VIGOR_SETP_EQUAL(suffix, type) VIGOR_SETP("eq." suffix, kEq, type), VIGOR_SETP("ne." suffix, kNe, type)
#define VIGOR_SETP_INTEGER(suffix, type)                                                                    \
  VIGOR_SETP_EQUAL(suffix, type), VIGOR_SETP("lt." suffix, kLt, type), VIGOR_SETP("le." suffix, kLe, type), \
      VIGOR_SETP("gt." suffix, kGt, type), VIGOR_SETP("ge." suffix, kGe, type)
#define VIGOR_SETP_UNSIGNED(suffix, type)                                                                     \
  VIGOR_SETP_INTEGER(suffix, type), VIGOR_SETP("lo." suffix, kLt, type), VIGOR_SETP("ls." suffix, kLe, type), \
      VIGOR_SETP("hi." suffix, kGt, type), VIGOR_SETP("hs." suffix, kGe, type)
#define VIGOR_SETP_FLOAT(suffix, type)                                                                               \
  VIGOR_SETP("eq." suffix, kEq, type), VIGOR_SETP("ne." suffix, kNeNum, type), VIGOR_SETP("lt." suffix, kLt, type),  \
      VIGOR_SETP("le." suffix, kLe, type), VIGOR_SETP("gt." suffix, kGt, type), VIGOR_SETP("ge." suffix, kGe, type), \
      VIGOR_SETP("equ." suffix, kEqu, type), VIGOR_SETP("neu." suffix, kNeu, type),                                  \
      VIGOR_SETP("ltu." suffix, kLtu, type), VIGOR_SETP("leu." suffix, kLeu, type),                                  \
      VIGOR_SETP("gtu." suffix, kGtu, type), VIGOR_SETP("geu." suffix, kGeu, type),                                  \
      VIGOR_SETP("num." suffix, kNum, type), VIGOR_SETP("nan." suffix, kNan, type)

// The comparisons of pairs that the cuda_fp16.h and cuda_bf16.h headers use.
#define VIGOR_PAIR(name, question)                                                                    \
  OpRow{"setp." name ".f16x2", compare_pairs<question, F16>, "pqaa"},                                 \
      OpRow{"setp." name ".bf16x2", compare_pairs<question, Bf16>, "pqaa"},                           \
      op<kPairOne<question, F16>, Pair<F16>, Pair<F16>, Pair<F16>>("set." name ".f16x2.f16x2"),       \
      op<kPairOne<question, Bf16>, Pair<Bf16>, Pair<Bf16>, Pair<Bf16>>("set." name ".bf16x2.bf16x2"), \
      op<kPairOnes<question, F16>, uint32_t, Pair<F16>, Pair<F16>>("set." name ".u32.f16x2"),         \
      op<kPairOnes<question, Bf16>, uint32_t, Pair<Bf16>, Pair<Bf16>>("set." name ".u32.bf16x2")

#define VIGOR_SET(name, question)                                                \
  op<kOnes<question>, uint32_t, float, float>("set." name ".u32.f32", kFlushes), \
      op<kOne<question>, float, float, float>("set." name ".f32.f32", kFlushes), \
      op<kOneHalf<question, F16>, F16, F16, F16>("set." name ".f16.f16"),        \
      op<kOneHalf<question, Bf16>, Bf16, Bf16, Bf16>("set." name ".bf16.bf16")
#define VIGOR_SET_INTEGER(name, question)                                  \
  op<kOnes<question>, uint32_t, int32_t, int32_t>("set." name ".u32.s32"), \
      op<kOnes<question>, uint32_t, uint32_t, uint32_t>("set." name ".u32.u32")

constexpr OpRow kRows[] = {
    VIGOR_SETP_EQUAL("b16", uint16_t),
    VIGOR_SETP_EQUAL("b32", uint32_t),
    VIGOR_SETP_EQUAL("b64", uint64_t),
    VIGOR_SETP_INTEGER("s16", int16_t),
    VIGOR_SETP_INTEGER("s32", int32_t),
    VIGOR_SETP_INTEGER("s64", int64_t),
    VIGOR_SETP_UNSIGNED("u16", uint16_t),
    VIGOR_SETP_UNSIGNED("u32", uint32_t),
    VIGOR_SETP_UNSIGNED("u64", uint64_t),
    VIGOR_SETP_FLOAT("f16", F16),
    VIGOR_SETP_FLOAT("bf16", Bf16),
    VIGOR_SETP_FLOAT("f32", float),
    VIGOR_SETP_FLOAT("f64", double),
    VIGOR_PAIR("eq", kEq),
    VIGOR_PAIR("ne", kNeNum),
    VIGOR_PAIR("lt", kLt),
    VIGOR_PAIR("le", kLe),
    VIGOR_PAIR("gt", kGt),
    VIGOR_PAIR("ge", kGe),
    VIGOR_PAIR("equ", kEqu),
    VIGOR_PAIR("neu", kNeu),
    VIGOR_PAIR("ltu", kLtu),
    VIGOR_PAIR("leu", kLeu),
    VIGOR_PAIR("gtu", kGtu),
    VIGOR_PAIR("geu", kGeu),
    VIGOR_PAIR("nan", kNan),
    VIGOR_PAIR("num", kNum),
    VIGOR_SET("eq", kEq),
    VIGOR_SET("ne", kNeNum),
    VIGOR_SET("lt", kLt),
    VIGOR_SET("le", kLe),
    VIGOR_SET("gt", kGt),
    VIGOR_SET("ge", kGe),
    VIGOR_SET("equ", kEqu),
    VIGOR_SET("neu", kNeu),
    VIGOR_SET("ltu", kLtu),
    VIGOR_SET("leu", kLeu),
    VIGOR_SET("gtu", kGtu),
    VIGOR_SET("geu", kGeu),
    VIGOR_SET("num", kNum),
    VIGOR_SET("nan", kNan),
    VIGOR_SET_INTEGER("eq", kEq),
    VIGOR_SET_INTEGER("ne", kNe),
    VIGOR_SET_INTEGER("lt", kLt),
    VIGOR_SET_INTEGER("le", kLe),
    VIGOR_SET_INTEGER("gt", kGt),
    VIGOR_SET_INTEGER("ge", kGe),
};

}  // namespace

RowTable compare_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
