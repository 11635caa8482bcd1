// Floating point in f32 and f64. Functions called .approx on the device are as exact here as the C library's.
#include "kernels/emulator/lanes.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

constexpr auto kAdd = [](auto a, auto b) { return a + b; };
constexpr auto kSub = [](auto a, auto b) { return a - b; };
constexpr auto kMul = [](auto a, auto b) { return a * b; };
constexpr auto kDiv = [](auto a, auto b) { return a / b; };
constexpr auto kFma = [](auto a, auto b, auto c) {
  if constexpr (sizeof(a) == 4) {
    return __builtin_fmaf(a, b, c);
  } else {
    return __builtin_fma(a, b, c);
  }
};
constexpr auto kReciprocal = [](auto a) { return 1 / a; };
constexpr auto kSqrt = [](auto a) {
  if constexpr (sizeof(a) == 4) {
    return __builtin_sqrtf(a);
  } else {
    return __builtin_sqrt(a);
  }
};
constexpr auto kRsqrt = [](auto a) { return static_cast<decltype(a)>(1.0 / __builtin_sqrt(a)); };
constexpr auto kSin = [](float a) { return __builtin_sinf(a); };
constexpr auto kCos = [](float a) { return __builtin_cosf(a); };
constexpr auto kExp2 = [](float a) { return __builtin_exp2f(a); };
constexpr auto kLog2 = [](float a) { return __builtin_log2f(a); };
constexpr auto kTanh = [](float a) { return __builtin_tanhf(a); };

// Sign bits, also those of NaN.
constexpr auto kNeg = [](auto a) { return -a; };
constexpr auto kAbs = [](auto a) {
  if constexpr (sizeof(a) == 4) {
    return __builtin_fabsf(a);
  } else {
    return __builtin_fabs(a);
  }
};
constexpr auto kCopySign32 = [](uint32_t sign, uint32_t a) { return (sign & 0x80000000u) | (a & 0x7fffffffu); };
constexpr auto kCopySign64 = [](uint64_t sign, uint64_t a) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  return (sign & kSign) | (a & ~kSign);
};

// A NaN loses against a number; -0 is less than +0.
template <class T>
VIGOR_INLINE typename BitsOf<sizeof(T)>::type bits_of(T a) {
  return __builtin_bit_cast(typename BitsOf<sizeof(T)>::type, a);
}
constexpr auto kMin = [](auto a, auto b) {
  const auto both = __builtin_bit_cast(decltype(a), static_cast<decltype(bits_of(a))>(bits_of(a) | bits_of(b)));
  return a != a ? b : (b != b ? a : (a == b ? both : (a < b ? a : b)));
};
constexpr auto kMax = [](auto a, auto b) {
  const auto both = __builtin_bit_cast(decltype(a), static_cast<decltype(bits_of(a))>(bits_of(a) & bits_of(b)));
  return a != a ? b : (b != b ? a : (a == b ? both : (a > b ? a : b)));
};
// .NaN: a NaN wins.
constexpr auto kMinNan = [](auto a, auto b) { return a != a ? a : (b != b ? b : kMin(a, b)); };
constexpr auto kMaxNan = [](auto a, auto b) { return a != a ? a : (b != b ? b : kMax(a, b)); };

// .sat: into [0, 1], NaN becomes +0.
VIGOR_INLINE float saturate(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
constexpr auto kAddSat = [](float a, float b) { return saturate(a + b); };
constexpr auto kSubSat = [](float a, float b) { return saturate(a - b); };
constexpr auto kMulSat = [](float a, float b) { return saturate(a * b); };
constexpr auto kFmaSat = [](float a, float b, float c) { return saturate(__builtin_fmaf(a, b, c)); };

// testp: a question about a number's kind.
template <auto question, class T>
void test(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Storage<T>* a = plane_of<T>(warp, instruction.operands[1]);
  uint32_t result = 0;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    result |= question(from_storage<T>(a[lane])) ? 1u << lane : 0u;
  }
  set_mask(warp, instruction.operands[0], result, lanes);
}
constexpr auto kFinite = [](auto a) { return a - a == 0; };
constexpr auto kInfinite = [](auto a) { return a == a && a - a != 0; };
constexpr auto kNumber = [](auto a) { return a == a; };
constexpr auto kNotANumber = [](auto a) { return a != a; };
constexpr auto kNormal = [](auto a) {  // zeros count as normal
  const auto least = sizeof(a) == 4 ? 0x1p-126 : 0x1p-1022;
  return a - a == 0 && (a == 0 || a >= least || a <= -least);
};
constexpr auto kSubnormal = [](auto a) { return a - a == 0 && !kNormal(a); };

constexpr OpRow kRows[] = {
    op<kAdd, float, float, float>("add.f32", kRounds),
    op<kSub, float, float, float>("sub.f32", kRounds),
    op<kMul, float, float, float>("mul.f32", kRounds),
    op<kFma, float, float, float, float>("fma.f32", kRounds),
    op<kFma, float, float, float, float>("mad.f32", kRounds),
    op<kAdd, double, double, double>("add.f64", kRounds),
    op<kSub, double, double, double>("sub.f64", kRounds),
    op<kMul, double, double, double>("mul.f64", kRounds),
    op<kFma, double, double, double, double>("fma.f64", kRounds),
    op<kFma, double, double, double, double>("mad.f64", kRounds),
    op<kAddSat, float, float, float>("add.sat.f32", kRounds),
    op<kSubSat, float, float, float>("sub.sat.f32", kRounds),
    op<kMulSat, float, float, float>("mul.sat.f32", kRounds),
    op<kFmaSat, float, float, float, float>("fma.sat.f32", kRounds),
    op<kFmaSat, float, float, float, float>("mad.sat.f32", kRounds),

    op<kDiv, float, float, float>("div.f32", kRounds),
    op<kDiv, float, float, float>("div.approx.f32", kRounds),
    op<kDiv, float, float, float>("div.full.f32", kRounds),
    op<kDiv, double, double, double>("div.f64", kRounds),
    op<kReciprocal, float, float>("rcp.f32", kRounds),
    op<kReciprocal, float, float>("rcp.approx.f32", kRounds),
    op<kReciprocal, double, double>("rcp.f64", kRounds),
    op<kReciprocal, double, double>("rcp.approx.f64", kRounds),
    op<kSqrt, float, float>("sqrt.f32", kRounds),
    op<kSqrt, float, float>("sqrt.approx.f32", kRounds),
    op<kSqrt, double, double>("sqrt.f64", kRounds),
    op<kRsqrt, float, float>("rsqrt.approx.f32", kFlushes),
    op<kRsqrt, double, double>("rsqrt.approx.f64", kFlushes),
    slow_op<kSin, float, float>("sin.approx.f32", kFlushes),
    slow_op<kCos, float, float>("cos.approx.f32", kFlushes),
    slow_op<kExp2, float, float>("ex2.approx.f32", kFlushes),
    slow_op<kLog2, float, float>("lg2.approx.f32", kFlushes),
    slow_op<kTanh, float, float>("tanh.approx.f32", kFlushes),

    op<kNeg, float, float>("neg.f32", kFlushes),
    op<kNeg, double, double>("neg.f64"),
    op<kAbs, float, float>("abs.f32", kFlushes),
    op<kAbs, double, double>("abs.f64"),
    op<kCopySign32, uint32_t, uint32_t, uint32_t>("copysign.f32"),
    op<kCopySign64, uint64_t, uint64_t, uint64_t>("copysign.f64"),
    op<kMin, float, float, float>("min.f32", kFlushes),
    op<kMax, float, float, float>("max.f32", kFlushes),
    op<kMinNan, float, float, float>("min.NaN.f32", kFlushes),
    op<kMaxNan, float, float, float>("max.NaN.f32", kFlushes),
    op<kMin, double, double, double>("min.f64"),
    op<kMax, double, double, double>("max.f64"),

    {"testp.finite.f32", test<kFinite, float>, "pa"},
    {"testp.infinite.f32", test<kInfinite, float>, "pa"},
    {"testp.number.f32", test<kNumber, float>, "pa"},
    {"testp.notanumber.f32", test<kNotANumber, float>, "pa"},
    {"testp.normal.f32", test<kNormal, float>, "pa"},
    {"testp.subnormal.f32", test<kSubnormal, float>, "pa"},
    {"testp.finite.f64", test<kFinite, double>, "pA"},
    {"testp.infinite.f64", test<kInfinite, double>, "pA"},
    {"testp.number.f64", test<kNumber, double>, "pA"},
    {"testp.notanumber.f64", test<kNotANumber, double>, "pA"},
    {"testp.normal.f64", test<kNormal, double>, "pA"},
    {"testp.subnormal.f64", test<kSubnormal, double>, "pA"},
};

}  // namespace

RowTable float_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
