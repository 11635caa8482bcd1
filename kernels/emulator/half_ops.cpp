// Arithmetic in f16 and bf16, single and in pairs. Sums, products and quotients are made in f32, whose precision is
// more than twice theirs, so that rounding twice is rounding once.
#include "kernels/emulator/half.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

template <class T, auto f>
constexpr auto kBinary = [](T a, T b) { return round_to<T>(f(to_float(a), to_float(b))); };
template <class T, auto f>
constexpr auto kUnary = [](T a) { return round_to<T>(f(to_float(a))); };
template <class T>
constexpr auto kFma = [](T a, T b, T c) { return fused(a, b, c); };
constexpr auto kRelu = [](auto a) {
  // Negative numbers become +0; NaN stays.
  return decltype(a){static_cast<uint16_t>((a.bits & 0x8000u) && to_float(a) == to_float(a) ? 0 : a.bits)};
};
template <class T>
constexpr auto kFmaRelu = [](T a, T b, T c) { return kRelu(fused(a, b, c)); };
constexpr auto kSat = [](auto a) {
  const float x = to_float(a);
  return round_to<decltype(a)>(x > 0 ? (x < 1 ? x : 1.0f) : 0.0f);
};
template <class T>
constexpr auto kFmaSat = [](T a, T b, T c) { return kSat(fused(a, b, c)); };

constexpr auto kAdd = [](float a, float b) { return a + b; };
constexpr auto kSub = [](float a, float b) { return a - b; };
constexpr auto kMul = [](float a, float b) { return a * b; };
constexpr auto kExp2 = [](float a) { return __builtin_exp2f(a); };
constexpr auto kTanh = [](float a) { return __builtin_tanhf(a); };

constexpr auto kNeg = [](auto a) { return decltype(a){static_cast<uint16_t>(a.bits ^ 0x8000u)}; };
constexpr auto kAbs = [](auto a) { return decltype(a){static_cast<uint16_t>(a.bits & 0x7fffu)}; };
// Ordered bits: -0 is less than +0. A NaN loses, unless .NaN.
VIGOR_INLINE int32_t order(uint16_t bits) { return bits & 0x8000u ? -int32_t(bits & 0x7fffu) - 1 : int32_t(bits); }
template <bool kLeast, bool kNanWins>
constexpr auto kExtreme = [](auto a, auto b) {
  using T = decltype(a);
  const bool a_nan = to_float(a) != to_float(a), b_nan = to_float(b) != to_float(b);
  if (a_nan || b_nan) {
    if (kNanWins || (a_nan && b_nan)) return T{0x7fff};
    return a_nan ? b : a;
  }
  return (order(a.bits) < order(b.bits)) == kLeast ? a : b;
};

// The same in both halves.
template <auto f>
constexpr auto kBoth1 = [](auto a) {
  return decltype(a){f(a.low), f(a.high)};
};
template <auto f>
constexpr auto kBoth2 = [](auto a, auto b) {
  return decltype(a){f(a.low, b.low), f(a.high, b.high)};
};
template <auto f>
constexpr auto kBoth3 = [](auto a, auto b, auto c) {
  return decltype(a){f(a.low, b.low, c.low), f(a.high, b.high, c.high)};
};

using H = F16;
using B = Bf16;
using H2 = Pair<F16>;
using B2 = Pair<Bf16>;

constexpr OpRow kRows[] = {
    op<kBinary<H, kAdd>, H, H, H>("add.f16", kNearest),
    op<kBinary<H, kSub>, H, H, H>("sub.f16", kNearest),
    op<kBinary<H, kMul>, H, H, H>("mul.f16", kNearest),
    op<kFma<H>, H, H, H, H>("fma.f16", kNearest),
    op<kFmaRelu<H>, H, H, H, H>("fma.relu.f16", kNearest),
    op<kFmaSat<H>, H, H, H, H>("fma.sat.f16", kNearest),
    op<kBoth2<kBinary<H, kAdd>>, H2, H2, H2>("add.f16x2", kNearest),
    op<kBoth2<kBinary<H, kSub>>, H2, H2, H2>("sub.f16x2", kNearest),
    op<kBoth2<kBinary<H, kMul>>, H2, H2, H2>("mul.f16x2", kNearest),
    op<kBoth3<kFma<H>>, H2, H2, H2, H2>("fma.f16x2", kNearest),
    op<kBoth3<kFmaRelu<H>>, H2, H2, H2, H2>("fma.relu.f16x2", kNearest),
    op<kBoth3<kFmaSat<H>>, H2, H2, H2, H2>("fma.sat.f16x2", kNearest),

    op<kBinary<B, kAdd>, B, B, B>("add.bf16", kNearest),
    op<kBinary<B, kSub>, B, B, B>("sub.bf16", kNearest),
    op<kBinary<B, kMul>, B, B, B>("mul.bf16", kNearest),
    op<kFma<B>, B, B, B, B>("fma.bf16", kNearest),
    op<kFmaRelu<B>, B, B, B, B>("fma.relu.bf16", kNearest),
    op<kBoth2<kBinary<B, kAdd>>, B2, B2, B2>("add.bf16x2", kNearest),
    op<kBoth2<kBinary<B, kSub>>, B2, B2, B2>("sub.bf16x2", kNearest),
    op<kBoth2<kBinary<B, kMul>>, B2, B2, B2>("mul.bf16x2", kNearest),
    op<kBoth3<kFma<B>>, B2, B2, B2, B2>("fma.bf16x2", kNearest),
    op<kBoth3<kFmaRelu<B>>, B2, B2, B2, B2>("fma.relu.bf16x2", kNearest),

    op<kNeg, H, H>("neg.f16"),
    op<kNeg, B, B>("neg.bf16"),
    op<kBoth1<kNeg>, H2, H2>("neg.f16x2"),
    op<kBoth1<kNeg>, B2, B2>("neg.bf16x2"),
    op<kAbs, H, H>("abs.f16"),
    op<kAbs, B, B>("abs.bf16"),
    op<kBoth1<kAbs>, H2, H2>("abs.f16x2"),
    op<kBoth1<kAbs>, B2, B2>("abs.bf16x2"),

    op<kExtreme<true, false>, H, H, H>("min.f16"),
    op<kExtreme<false, false>, H, H, H>("max.f16"),
    op<kExtreme<true, true>, H, H, H>("min.NaN.f16"),
    op<kExtreme<false, true>, H, H, H>("max.NaN.f16"),
    op<kExtreme<true, false>, B, B, B>("min.bf16"),
    op<kExtreme<false, false>, B, B, B>("max.bf16"),
    op<kExtreme<true, true>, B, B, B>("min.NaN.bf16"),
    op<kExtreme<false, true>, B, B, B>("max.NaN.bf16"),
    op<kBoth2<kExtreme<true, false>>, H2, H2, H2>("min.f16x2"),
    op<kBoth2<kExtreme<false, false>>, H2, H2, H2>("max.f16x2"),
    op<kBoth2<kExtreme<true, true>>, H2, H2, H2>("min.NaN.f16x2"),
    op<kBoth2<kExtreme<false, true>>, H2, H2, H2>("max.NaN.f16x2"),
    op<kBoth2<kExtreme<true, false>>, B2, B2, B2>("min.bf16x2"),
    op<kBoth2<kExtreme<false, false>>, B2, B2, B2>("max.bf16x2"),
    op<kBoth2<kExtreme<true, true>>, B2, B2, B2>("min.NaN.bf16x2"),
    op<kBoth2<kExtreme<false, true>>, B2, B2, B2>("max.NaN.bf16x2"),

    slow_op<kUnary<H, kExp2>, H, H>("ex2.approx.f16"),
    slow_op<kUnary<H, kTanh>, H, H>("tanh.approx.f16"),
    slow_op<kBoth1<kUnary<H, kExp2>>, H2, H2>("ex2.approx.f16x2"),
    slow_op<kBoth1<kUnary<H, kTanh>>, H2, H2>("tanh.approx.f16x2"),
    slow_op<kUnary<B, kExp2>, B, B>("ex2.approx.bf16", kFlushes),
    slow_op<kUnary<B, kTanh>, B, B>("tanh.approx.bf16"),
    slow_op<kBoth1<kUnary<B, kExp2>>, B2, B2>("ex2.approx.bf16x2", kFlushes),
    slow_op<kBoth1<kUnary<B, kTanh>>, B2, B2>("tanh.approx.bf16x2"),
};

}  // namespace

RowTable half_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
