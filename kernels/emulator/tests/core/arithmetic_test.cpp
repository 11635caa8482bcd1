// Arithmetic of every type against the same functions in plain C++, on ordinary values and on the edges: NaN,
// infinities, signed zeros, subnormal numbers, the largest and smallest integers.
#include <bit>
#include <cfenv>
#include <climits>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>

#include "test_device.h"

namespace vigor::emulator {
namespace {

using u16 = uint16_t;
using s32 = int32_t;
using u32 = uint32_t;
using s64 = int64_t;
using u64 = uint64_t;

// The module is read once for all tests.
TestDevice& device() {
  static TestDevice the_device("arithmetic");
  return the_device;
}

// Edge values, all pairs of them, and random bit patterns.
template <class T>
std::vector<T> edges() {
  if constexpr (std::is_floating_point_v<T>) {
    using L = std::numeric_limits<T>;
    return {T(0),
            -T(0),
            T(1),
            T(-1),
            T(0.5),
            T(-0.5),
            T(1.5),
            T(2.5),
            T(-2.5),
            T(3),
            T(1) / 3,
            T(100.25),
            T(-12345.678),
            T(2147483648.0),
            T(-2147483648.0),
            T(4294967296.0),
            T(1e18),
            T(-1e19),
            T(2e19),
            L::infinity(),
            -L::infinity(),
            L::quiet_NaN(),
            L::max(),
            L::lowest(),
            L::min(),
            L::denorm_min(),
            -L::denorm_min(),
            L::min() / 2,
            T(1) + L::epsilon()};
  } else {
    using L = std::numeric_limits<T>;
    return {T(0),    T(1),      T(2),      T(7),         T(31),    T(32),    T(33),           T(63),           T(100),
            T(-1),   T(-2),     T(-7),     T(-100),      L::max(), L::min(), T(L::max() - 1), T(L::min() + 1), T(0x80),
            T(0x7f), T(0x8000), T(0xffff), T(0x12345678)};
  }
}

template <class T>
struct Inputs {
  std::vector<T> a, b;
};

template <class T>
Inputs<T> inputs() {
  Inputs<T> in;
  for (const T x : edges<T>()) {
    for (const T y : edges<T>()) in.a.push_back(x), in.b.push_back(y);
  }
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal(0, 3);
  for (int i = 0; i < 600; ++i) {
    for (auto* list : {&in.a, &in.b}) {
      if constexpr (std::is_floating_point_v<T>) {
        list->push_back(static_cast<T>(normal(random)));
      } else {
        list->push_back(static_cast<T>(random() >> (random() % 48)));
      }
    }
  }
  return in;
}

// Every bit pattern of the upper byte, and ties, for 16-bit floating point.
Inputs<u16> half_inputs() {
  Inputs<u16> in;
  std::mt19937 random(3);
  const std::vector<u16> special = {0,      0x8000, 0x3c00, 0x3f80, 0x7c00, 0x7f80, 0xff80,
                                    0xfc00, 0x7fff, 0x0001, 0x03ff, 0x0400, 0x7bff};
  for (const u16 x : special) {
    for (const u16 y : special) in.a.push_back(x), in.b.push_back(y);
  }
  for (int i = 0; i < 4000; ++i) in.a.push_back(static_cast<u16>(random())), in.b.push_back(static_cast<u16>(random()));
  return in;
}

template <class T>
bool same(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(x) || std::isnan(y)) return std::isnan(x) && std::isnan(y);
  }
  return std::memcmp(&x, &y, sizeof(T)) == 0;
}

template <class D, class A>
void expect_all(const std::string& kernel, const std::vector<D>& got, const std::function<D(size_t)>& want,
                const Inputs<A>& in) {
  int reported = 0;
  for (size_t i = 0; i < got.size() && reported < 3; ++i) {
    const D expected = want(i);
    if (same(got[i], expected)) continue;
    ++reported;
    ADD_FAILURE() << kernel << " of " << +in.a[i] << ", " << +in.b[i] << ": got " << +got[i] << ", expected "
                  << +expected;
  }
}

template <class D, class A>
void check1(const std::string& kernel, const Inputs<A>& in, std::type_identity_t<std::function<D(A)>> f) {
  const size_t n = in.a.size();
  const uint64_t a = device().upload(in.a), out = device().zeros<D>(n);
  device().launch(kernel, {{static_cast<u32>(n + 95) / 96}, {96}}, out, a, static_cast<int>(n));
  expect_all<D, A>(
      kernel, device().download<D>(out, n), [&](size_t i) { return f(in.a[i]); }, in);
}

template <class D, class A>
void check2(const std::string& kernel, const Inputs<A>& in, std::type_identity_t<std::function<D(A, A)>> f) {
  const size_t n = in.a.size();
  const uint64_t a = device().upload(in.a), b = device().upload(in.b), out = device().zeros<D>(n);
  device().launch(kernel, {{static_cast<u32>(n + 95) / 96}, {96}}, out, a, b, static_cast<int>(n));
  expect_all<D, A>(
      kernel, device().download<D>(out, n), [&](size_t i) { return f(in.a[i], in.b[i]); }, in);
}

// f(x, y) under a rounding mode of the host. Volatile, so that nothing is computed early or late.
template <class D, class T, class F>
D rounded(int mode, T x, T y, F f) {
  volatile T a = x, b = y;
  const int before = std::fegetround();
  std::fesetround(mode);
  volatile D result = f(a, b);
  std::fesetround(before);
  return result;
}

// a * b + c in f64, rounded to odd: a further rounding sees on which side of a tie the sum was.
double odd_fma(double a, double b, double c) {
  std::feclearexcept(FE_ALL_EXCEPT);
  const double sum = rounded<double>(FE_TOWARDZERO, a, b, [&](double x, double y) { return std::fma(x, y, c); });
  return std::fetestexcept(FE_INEXACT) ? std::bit_cast<double>(std::bit_cast<u64>(sum) | 1) : sum;
}

template <class T>
T clamp_convert(double x) {  // PTX: to the nearest integer of the type, NaN to zero
  if (std::isnan(x)) return 0;
  if (x >= 2.0 * static_cast<double>(std::numeric_limits<T>::max() / 2 + 1)) return std::numeric_limits<T>::max();
  if (x <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  return static_cast<T>(x);
}

TEST(Arithmetic, FloatRounding) {
  const auto in = inputs<float>();
  using F = float;
  check2<float>("f32_add_rn", in, [](float a, float b) { return a + b; });
  check2<float>("f32_sub", in, [](float a, float b) { return a - b; });
  check2<float>("f32_add_rz", in,
                [](F a, F b) { return rounded<float>(FE_TOWARDZERO, a, b, [](F x, F y) { return x + y; }); });
  check2<float>("f32_add_ru", in,
                [](F a, F b) { return rounded<float>(FE_UPWARD, a, b, [](F x, F y) { return x + y; }); });
  check2<float>("f32_add_rd", in,
                [](F a, F b) { return rounded<float>(FE_DOWNWARD, a, b, [](F x, F y) { return x + y; }); });
  check2<float>("f32_mul_rn", in, [](float a, float b) { return a * b; });
  check2<float>("f32_mul_rz", in,
                [](F a, F b) { return rounded<float>(FE_TOWARDZERO, a, b, [](F x, F y) { return x * y; }); });
  check2<float>("f32_fma_rn", in, [](float a, float b) { return std::fma(a, b, a); });
  check2<float>("f32_fma_ru", in,
                [](F a, F b) { return rounded<float>(FE_UPWARD, a, b, [](F x, F y) { return std::fma(x, y, x); }); });
  check2<float>("f32_div", in, [](float a, float b) { return a / b; });
  check2<float>("f32_div_rd", in,
                [](F a, F b) { return rounded<float>(FE_DOWNWARD, a, b, [](F x, F y) { return x / y; }); });
  check1<float>("f32_sqrt", in, [](float a) { return std::sqrt(a); });
  check1<float>("f32_reciprocal", in, [](float a) { return 1 / a; });
}

TEST(Arithmetic, FloatFlushToZero) {
  const auto flush = [](float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; };
  check2<float>("f32_mul_ftz", inputs<float>(), [&](float a, float b) { return flush(flush(a) * flush(b)); });
}

TEST(Arithmetic, FloatSelection) {
  const auto in = inputs<float>();
  const auto least = [](float a, float b) {
    return std::isnan(a) ? b : std::isnan(b) ? a : a == b ? (std::signbit(a) ? a : b) : std::min(a, b);
  };
  check2<float>("f32_min", in, least);
  check2<float>("f32_max", in, [&](float a, float b) { return -least(-a, -b); });
  check2<float>("f32_copysign", in, [](float a, float b) { return std::copysign(a, b); });
  check2<s32>("f32_less", in, [](float a, float b) { return a < b; });
  check2<s32>("f32_not_less", in, [](float a, float b) { return !(a < b); });
  check2<s32>("f32_equal", in, [](float a, float b) { return a == b; });
  check2<s32>("f32_not_equal", in, [](float a, float b) { return a != b; });
  check1<float>("f32_saturate", in, [](float a) { return a > 0 ? std::min(a, 1.0f) : 0.0f; });
  check1<float>("f32_negate", in, [](float a) { return -a; });
  check1<float>("f32_abs", in, [](float a) { return std::fabs(a); });
  check1<float>("f32_floor", in, [](float a) { return std::floor(a); });
  check1<float>("f32_ceil", in, [](float a) { return std::ceil(a); });
  check1<float>("f32_trunc", in, [](float a) { return std::trunc(a); });
  check1<float>("f32_rint", in, [](float a) { return std::rint(a); });
  check1<float>("f32_round", in, [](float a) { return std::round(a); });
  check1<s32>("f32_is_nan", in, [](float a) { return std::isnan(a); });
}

// CUDA documents errors of a few units in the last place for these.
TEST(Arithmetic, FloatFunctions) {
  Inputs<float> in;
  for (int i = -400; i <= 400; ++i) in.a.push_back(0.05f * static_cast<float>(i)), in.b.push_back(0);
  in.a.push_back(105615.0f), in.b.push_back(0);  // sin and cos reduce large arguments with local memory
  const size_t n = in.a.size();
  const auto near = [&](const char* kernel, double (*f)(double), double relative) {
    const uint64_t a = device().upload(in.a), out = device().zeros<float>(n);
    device().launch(kernel, {{8}, {128}}, out, a, static_cast<int>(n));
    const auto got = device().download<float>(out, n);
    for (size_t i = 0; i < n; ++i) {
      const double want = f(static_cast<double>(in.a[i]));
      if (std::isnan(want) || std::abs(want) > 3e38) continue;
      ASSERT_NEAR(got[i], want, relative * std::abs(want) + 2e-7) << kernel << " of " << in.a[i];
      ASSERT_FALSE(std::isnan(got[i])) << kernel << " of " << in.a[i];
    }
  };
  near("f32_exp", std::exp, 3e-7);
  near("f32_fast_exp", std::exp, 3e-6);
  near("f32_log", std::log, 3e-7);
  near("f32_sin", std::sin, 3e-7);
  near("f32_cos", std::cos, 3e-7);
  near("f32_tanh", std::tanh, 3e-7);
  near("f32_erf", std::erf, 3e-7);
  near(
      "f32_rsqrt", [](double x) { return 1 / std::sqrt(x); }, 3e-7);
}

TEST(Arithmetic, FloatToInteger) {
  const auto in = inputs<float>();
  check1<s32>("f32_to_s32_rn", in, [](float a) { return clamp_convert<s32>(std::nearbyint(static_cast<double>(a))); });
  check1<s32>("f32_to_s32_rz", in, [](float a) { return clamp_convert<s32>(std::trunc(static_cast<double>(a))); });
  check1<s32>("f32_to_s32_ru", in, [](float a) { return clamp_convert<s32>(std::ceil(static_cast<double>(a))); });
  check1<u32>("f32_to_u32_rz", in, [](float a) { return clamp_convert<u32>(std::trunc(static_cast<double>(a))); });
  check1<s64>("f32_to_s64_rd", in, [](float a) { return clamp_convert<s64>(std::floor(static_cast<double>(a))); });
  check1<u64>("f32_to_u64_rz", in, [](float a) { return clamp_convert<u64>(std::trunc(static_cast<double>(a))); });
  check1<double>("f32_to_f64", in, [](float a) { return static_cast<double>(a); });
}

TEST(Arithmetic, Double) {
  const auto in = inputs<double>();
  using F = double;
  check2<double>("f64_add_rz", in,
                 [](F a, F b) { return rounded<double>(FE_TOWARDZERO, a, b, [](F x, F y) { return x + y; }); });
  check2<double>("f64_div", in, [](double a, double b) { return a / b; });
  check2<double>("f64_fma", in, [](double a, double b) { return std::fma(a, b, b); });
  check1<double>("f64_sqrt", in, [](double a) { return std::sqrt(a); });
  check1<float>("f64_to_f32_rn", in, [](double a) { return static_cast<float>(a); });
  check1<float>("f64_to_f32_ru", in,
                [](F a) { return rounded<float>(FE_UPWARD, a, a, [](F x, F) { return static_cast<float>(x); }); });
  check1<s32>("f64_to_s32", in, [](double a) { return clamp_convert<s32>(std::nearbyint(a)); });
}

TEST(Arithmetic, Signed32) {
  const auto in = inputs<s32>();
  const auto safe = [](s32 a, s32 b) { return b != 0 && !(a == INT_MIN && b == -1); };
  check2<s32>("s32_add", in, [](s32 a, s32 b) { return static_cast<s32>(u32(a) + u32(b)); });
  check2<s32>("s32_mul", in, [](s32 a, s32 b) { return static_cast<s32>(u32(a) * u32(b)); });
  check2<s32>("s32_mul_high", in, [](s32 a, s32 b) { return static_cast<s32>(s64{a} * b >> 32); });
  check2<s64>("s32_mul_wide", in, [](s32 a, s32 b) { return s64{a} * b; });
  check2<s32>("s32_div", in, [&](s32 a, s32 b) { return safe(a, b) ? a / b : 0; });
  check2<s32>("s32_rem", in, [&](s32 a, s32 b) { return safe(a, b) ? a % b : 0; });
  check2<s32>("s32_min", in, [](s32 a, s32 b) { return std::min(a, b); });
  check2<s32>("s32_shift_right", in, [](s32 a, s32 b) { return a >> (b & 31); });
  check2<u32>("s32_sad", in, [](s32 a, s32 b) { return static_cast<u32>(std::abs(s64{a} - b)) + 7; });
  check2<s32>("s32_dp4a", in, [](s32 a, s32 b) {
    s32 sum = 11;
    for (int i = 0; i < 32; i += 8) sum += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
    return sum;
  });
  check1<s32>("s32_abs", in, [](s32 a) { return a < 0 ? static_cast<s32>(0 - u32(a)) : a; });
  check1<float>("s32_to_f32_rn", in, [](s32 a) { return static_cast<float>(a); });
  check1<float>("s32_to_f32_rd", in, [](s32 a) {
    return rounded<float>(FE_DOWNWARD, a, a, [](s32 x, s32) { return static_cast<float>(x); });
  });
  check1<double>("s32_to_f64", in, [](s32 a) { return static_cast<double>(a); });
  check1<s32>("s32_to_s8", in, [](s32 a) { return static_cast<int8_t>(a); });
  check1<s32>("s32_to_s16", in, [](s32 a) { return static_cast<int16_t>(a); });
  check1<s32>("s32_find_first", in, [](s32 a) { return __builtin_ffs(a); });
}

TEST(Arithmetic, Unsigned32) {
  const auto in = inputs<u32>();
  check2<u32>("u32_div", in, [](u32 a, u32 b) { return b ? a / b : 0; });
  check2<u32>("u32_rem", in, [](u32 a, u32 b) { return b ? a % b : 0; });
  check1<u32>("u32_div_by_7", in, [](u32 a) { return a / 7; });
  check2<u32>("u32_mul_high", in, [](u32 a, u32 b) { return static_cast<u32>(u64{a} * b >> 32); });
  check2<u32>("u32_permute", in, [](u32 a, u32 b) {
    // 0x5c16 from the low end: byte 6, byte 1, the sign of byte 4 (0xc), byte 5.
    const u64 both = u64{b} << 32 | a;
    const auto byte = [&](int i) { return static_cast<u32>(both >> (8 * i)) & 0xff; };
    const u32 sign = byte(4) & 0x80 ? 0xff : 0;
    return byte(6) | byte(1) << 8 | sign << 16 | byte(5) << 24;
  });
  check2<u32>("u32_funnel_left", in,
              [](u32 a, u32 b) { return static_cast<u32>((u64{b} << 32 | a) << (b & 31) >> 32); });
  check2<u32>("u32_funnel_clamp", in,
              [](u32 a, u32 b) { return static_cast<u32>((u64{b} << 32 | a) >> std::min(b & 63, 32u)); });
  check2<u32>("u32_logic", in, [](u32 a, u32 b) { return (a & b) ^ (~a | (b << 3)); });
  check1<s32>("u32_count", in, [](u32 a) { return std::popcount(a); });
  check1<s32>("u32_leading", in, [](u32 a) { return std::countl_zero(a); });
  check1<u32>("u32_reverse", in, [](u32 a) {
    u32 r = 0;
    for (int i = 0; i < 32; ++i) r |= (a >> i & 1) << (31 - i);
    return r;
  });
  check1<u32>("u32_field", in, [](u32 a) { return a >> 5 & 0x1ff; });
  check2<u32>("u32_insert", in, [](u32 a, u32 b) { return (b & ~(0xfffu << 7)) | (a & 0xfff) << 7; });
  check1<float>("u32_to_f32", in, [](u32 a) { return static_cast<float>(a); });
  // Nine bits from bit 27 on: five exist, the rest are copies of the top bit.
  check1<s32>("u32_signed_field", inputs<s32>(), [](s32 a) { return a >> 27; });
}

TEST(Arithmetic, Integer64) {
  const auto in = inputs<s64>();
  check2<s64>("s64_mul", in, [](s64 a, s64 b) { return static_cast<s64>(u64(a) * u64(b)); });
  check2<s64>("s64_mul_high", in, [](s64 a, s64 b) { return static_cast<s64>(static_cast<__int128>(a) * b >> 64); });
  check2<s64>("s64_div", in, [](s64 a, s64 b) { return b == 0 || b == -1 ? 0 : a / b; });
  check2<s64>("s64_shift", in, [](s64 a, s64 b) { return static_cast<s64>(u64(a) << (b & 63)) ^ (a >> (b & 63)); });
  check2<s32>("s64_less", in, [](s64 a, s64 b) { return a < b; });
  check1<s32>("s64_count", in, [](s64 a) { return std::popcount(u64(a)); });
  check1<s32>("s64_leading", in, [](s64 a) { return std::countl_zero(u64(a)); });
  check1<float>("s64_to_f32", in, [](s64 a) { return static_cast<float>(a); });
  const auto unsigned_in = inputs<u64>();
  check2<u64>("u64_rem", unsigned_in, [](u64 a, u64 b) { return b ? a % b : 0; });
  check1<double>("u64_to_f64", unsigned_in, [](u64 a) { return static_cast<double>(a); });
  check2<u64>("u64_add_carry", unsigned_in, [](u64 a, u64 b) {
    const u64 low = a + b;
    return (a + b + (low < a ? 1 : 0)) ^ low;
  });
}

// --- 16 bits, written here from their definitions ---

float from_bf16(u16 bits) { return std::bit_cast<float>(u32{bits} << 16); }

float from_f16(u16 bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? std::nanf("") : sign * std::numeric_limits<float>::infinity();
  return sign * (exponent ? std::ldexp(1024.0f + static_cast<float>(mantissa), exponent - 25)
                          : std::ldexp(static_cast<float>(mantissa), -24));
}

// The nearest 16-bit number by search over all of them: ties to the even one. `limit`: the first magnitude whose
// nearest is infinity.
template <class F>
u16 nearest(double x, F from, u16 infinity, double limit, bool to_zero = false) {
  if (std::isnan(x)) return 0x7fff;
  const u16 sign = std::signbit(x) ? 0x8000 : 0;
  const double magnitude = std::abs(x);
  if (std::isinf(x)) return static_cast<u16>(sign | infinity);
  if (magnitude >= limit) return static_cast<u16>(sign | (to_zero ? infinity - 1 : infinity));
  u16 low = 0, high = infinity;  // from(low) <= magnitude < from(high)
  while (high - low > 1) {
    const u16 middle = static_cast<u16>((low + high) / 2);
    (static_cast<double>(from(middle)) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - static_cast<double>(from(low));
  const double above = static_cast<double>(from(high)) - magnitude;
  const bool up = !to_zero && high != infinity && (above < below || (above == below && (low & 1)));
  return static_cast<u16>(sign | (up ? high : low));
}
u16 to_bf16(double x, bool to_zero = false) {
  return nearest(x, from_bf16, 0x7f80, to_zero ? 0x1p128 : 0x1.ffp127, to_zero);
}
u16 to_f16(double x, bool to_zero = false) {
  return nearest(x, from_f16, 0x7c00, to_zero ? 65536.0 : 65520.0, to_zero);
}

u16 canonical_bf16(u16 bits) { return std::isnan(from_bf16(bits)) ? 0x7fff : bits; }

TEST(Arithmetic, Bfloat16) {
  auto in = inputs<float>();
  for (u32 i = 0; i < 0x8000; i += 37) in.a.push_back(std::bit_cast<float>(i << 16 | 0x8000)), in.b.push_back(1);
  check1<u16>("f32_to_bf16", in, [](float a) { return to_bf16(static_cast<double>(a)); });
  check1<u16>("f32_to_bf16_rz", in, [](float a) { return to_bf16(static_cast<double>(a), true); });
  check2<u32>("f32_to_bf16x2", in, [](float a, float b) {
    return u32{to_bf16(static_cast<double>(a))} | u32{to_bf16(static_cast<double>(b))} << 16;
  });
  const auto halves = half_inputs();
  check1<float>("bf16_to_f32", halves, from_bf16);
  const auto exact = [](u16 x) { return static_cast<double>(from_bf16(x)); };
  check2<u16>("bf16_add", halves, [&](u16 a, u16 b) { return to_bf16(exact(a) + exact(b)); });
  check2<u16>("bf16_mul", halves, [&](u16 a, u16 b) { return to_bf16(exact(a) * exact(b)); });
  check2<u16>("bf16_fma", halves, [&](u16 a, u16 b) { return to_bf16(odd_fma(exact(a), exact(b), exact(a))); });
  check2<s32>("bf16_less", halves, [&](u16 a, u16 b) { return exact(a) < exact(b); });
  check2<u16>("bf16_max", halves, [&](u16 a, u16 b) {
    const float x = from_bf16(a), y = from_bf16(b);
    if (std::isnan(x)) return canonical_bf16(b);
    if (std::isnan(y)) return a;
    return x == y ? (std::signbit(x) ? b : a) : (x > y ? a : b);
  });
}

TEST(Arithmetic, Float16) {
  auto in = inputs<float>();
  for (u32 i = 0x3300; i < 0x4800; ++i) in.a.push_back(std::bit_cast<float>(i << 16 | 0x1000)), in.b.push_back(1);
  check1<u16>("f32_to_f16", in, [](float a) { return to_f16(static_cast<double>(a)); });
  check1<u16>("f32_to_f16_rz", in, [](float a) { return to_f16(static_cast<double>(a), true); });
  const auto halves = half_inputs();
  const auto exact = [](u16 x) { return static_cast<double>(from_f16(x)); };
  check1<float>("f16_to_f32", halves, from_f16);
  check2<u16>("f16_add", halves, [&](u16 a, u16 b) { return to_f16(exact(a) + exact(b)); });
  check2<u16>("f16_fma", halves, [&](u16 a, u16 b) { return to_f16(odd_fma(exact(a), exact(b), exact(b))); });
  check1<s32>("f16_to_s32", halves, [&](u16 a) { return clamp_convert<s32>(std::nearbyint(exact(a))); });
}

// Pairs: each half as the single instruction.
TEST(Arithmetic, Pairs) {
  Inputs<u32> in;
  const auto halves = half_inputs();
  for (size_t i = 0; i + 1 < halves.a.size(); ++i) {
    in.a.push_back(halves.a[i] | u32{halves.b[i + 1]} << 16);
    in.b.push_back(halves.b[i] | u32{halves.a[i + 1]} << 16);
  }
  const auto both = [](auto f) {
    return [f](u32 a, u32 b) { return u32{f(u16(a), u16(b))} | u32{f(u16(a >> 16), u16(b >> 16))} << 16; };
  };
  check2<u32>("bf16_fma_pair", in, both([](u16 a, u16 b) {
                const double x = static_cast<double>(from_bf16(a)), y = static_cast<double>(from_bf16(b));
                return to_bf16(odd_fma(x, y, y));
              }));
  check2<u32>("f16_mul_pair", in, both([](u16 a, u16 b) {
                return to_f16(static_cast<double>(from_f16(a)) * static_cast<double>(from_f16(b)));
              }));
}

}  // namespace
}  // namespace vigor::emulator
