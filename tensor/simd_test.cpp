// tensor/simd.h on every instruction set this CPU has.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/simd_test_functions.h"

namespace vigor {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class Simd : public testing::TestWithParam<Isa> {
  IsaScope scope_{GetParam()};
};

double reference(SimdFunction function, double x) {
  switch (function) {
    case SimdFunction::exp:
      return std::exp(x);
    case SimdFunction::log:
      return std::log(x);
    case SimdFunction::log1p:
      return std::log1p(x);
    case SimdFunction::tanh:
      return std::tanh(x);
    case SimdFunction::sigmoid:
      return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
    case SimdFunction::softplus:
      return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
    case SimdFunction::erf:
      return std::erf(x);
    case SimdFunction::sqrt:
      break;
  }
  return std::sqrt(x);
}

// Distance from y to the true value in units of y's last place; 0 when both are the same special value.
double ulp_error(float y, double truth) {
  if (std::isnan(truth)) return std::isnan(y) ? 0 : kInf;
  const float rounded = static_cast<float>(truth);
  if (std::isinf(rounded) || std::isinf(y)) return y == rounded ? 0 : kInf;
  const float size = std::max(std::abs(rounded), std::numeric_limits<float>::min());
  const double ulp = static_cast<double>(std::nextafter(size, kInf)) - size;
  return std::abs(y - truth) / ulp;
}

// Floats of both signs and all exponents, 400 a binade, and denser ones in [-20, 20].
std::vector<float> arguments() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < 0x7f800000u; bits += 21001) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    x.push_back(-x.back());
  }
  for (int i = -40001; i <= 40001; ++i) x.push_back(static_cast<float>(i) * 0.0005f);
  for (int i = -2000; i <= 2000; ++i) x.push_back(static_cast<float>(i) * 0.0551f);
  x.insert(x.end(), {0.0f, -0.0f, kInf, -kInf, kNan, 1.0f, -1.0f, 88.72283f, 88.72284f, -87.33654f, -103.97f, -104.1f});
  return x;
}

TEST_P(Simd, FunctionsAreWithinTwoUlp) {
  const std::vector<float> x = arguments();
  std::vector<float> y(x.size());
  for (SimdFunction function : {SimdFunction::exp, SimdFunction::log, SimdFunction::log1p, SimdFunction::tanh,
                                SimdFunction::sigmoid, SimdFunction::softplus, SimdFunction::erf, SimdFunction::sqrt}) {
    VIGOR_PICK(apply)(function, x.data(), y.data(), static_cast<int64_t>(x.size()));
    double worst = 0;
    float worst_x = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double error = ulp_error(y[i], reference(function, x[i]));
      if (!(error <= worst)) worst = error, worst_x = x[i];
    }
    EXPECT_LE(worst, 2.0) << "function " << static_cast<int>(function) << " at x = " << worst_x;
    RecordProperty("worst_ulp_" + std::to_string(static_cast<int>(function)), std::to_string(worst));
  }
}

TEST_P(Simd, PartialLoadsAndStoresLeaveTheRestAlone) {
  for (int64_t n = 0; n <= 40; ++n) {
    std::vector<float> x(static_cast<size_t>(n)), y(static_cast<size_t>(n) + 1, 7.0f);
    std::vector<bf16> half(static_cast<size_t>(n) + 1, bf16(7.0f));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * i);
    VIGOR_PICK(apply)(SimdFunction::sqrt, x.data(), y.data(), n);
    VIGOR_PICK(to_half)(x.data(), half.data(), n);
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(y[i], static_cast<float>(i));
      EXPECT_EQ(half[i].bits, bf16(x[i]).bits);
    }
    EXPECT_EQ(y.back(), 7.0f);
    EXPECT_EQ(static_cast<float>(half.back()), 7.0f);
  }
}

TEST_P(Simd, Bf16ConversionEqualsTheScalarOne) {
  std::vector<float> x = arguments();
  x.push_back(std::bit_cast<float>(0x7f800001u));  // a NaN whose payload is cut off
  x.push_back(std::bit_cast<float>(0x3f808000u));  // ties: to even
  x.push_back(std::bit_cast<float>(0x3f818000u));
  std::vector<bf16> half(x.size());
  std::vector<float> back(x.size());
  VIGOR_PICK(to_half)(x.data(), half.data(), static_cast<int64_t>(x.size()));
  VIGOR_PICK(to_float)(half.data(), back.data(), static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(half[i].bits, bf16(x[i]).bits) << x[i];
    ASSERT_EQ(std::bit_cast<uint32_t>(back[i]), static_cast<uint32_t>(half[i].bits) << 16);
  }
}

TEST_P(Simd, Reductions) {
  std::vector<float> x(37);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 29) % 37);
  EXPECT_EQ(VIGOR_PICK(sum)(x.data(), 37), 666.0f);
  EXPECT_EQ(VIGOR_PICK(sum_in_double)(x.data(), 37), 666.0);
  const int64_t whole = 37 / VIGOR_PICK(lanes)() * VIGOR_PICK(lanes)();
  EXPECT_EQ(VIGOR_PICK(maximum)(x.data(), 37), *std::max_element(x.begin(), x.begin() + whole));
}

TEST_P(Simd, MinimumAndMaximumReturnTheSecondArgumentForNan) {
  std::vector<float> a(16, 1.0f), b(16, 2.0f), low(16), high(16);
  a[0] = kNan;
  b[1] = kNan;
  VIGOR_PICK(minimum_and_maximum)(a.data(), b.data(), low.data(), high.data(), 16);
  EXPECT_EQ(low[0], 2.0f);
  EXPECT_TRUE(std::isnan(low[1]) && std::isnan(high[1]));
  EXPECT_EQ(low[2], 1.0f);
  EXPECT_EQ(high[2], 2.0f);
}

TEST_P(Simd, StreamingStoresArrive) {
  alignas(64) float x[64], y[64] = {};
  for (int i = 0; i < 64; ++i) x[i] = static_cast<float>(i);
  VIGOR_PICK(stream_copy)(x, y, 64);
  EXPECT_EQ(std::memcmp(x, y, sizeof x), 0);
}

std::vector<Isa> supported() {
  std::vector<Isa> found;
  for (Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512})
    if (is_supported(isa)) found.push_back(isa);
  return found;
}

INSTANTIATE_TEST_SUITE_P(Isa, Simd, testing::ValuesIn(supported()),
                         [](const auto& test) { return std::string(name_of(test.param)); });

TEST(Isa, UnsupportedOnesAreRefused) {
  const Isa before = current_isa();
  for (Isa isa : {Isa::neon, Isa::avx2, Isa::avx512})
    if (!is_supported(isa)) {
      EXPECT_THROW(IsaScope{isa}, std::invalid_argument);
    }
  {
    IsaScope scope(Isa::portable);
    EXPECT_EQ(current_isa(), Isa::portable);
  }
  EXPECT_EQ(current_isa(), before);
}

}  // namespace
}  // namespace vigor
