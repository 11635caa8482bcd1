// kernels/gemm against a plain triple loop in double precision, on every instruction set this CPU has.
#include "kernels/gemm/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/gemm/gemm_plan.h"
#include "tensor/simd.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace vigor {
namespace {

constexpr Transpose kTransposes[] = {Transpose::no, Transpose::yes};

// A stored matrix of `rows` rows with `pad` unused elements behind each, which hold a mark that must survive.
template <class T>
struct Stored {
  int64_t rows, columns, ld;
  std::vector<T> data;

  Stored(int64_t r, int64_t c, int64_t pad, std::mt19937& random)
      : rows(r), columns(c), ld(c + pad), data(static_cast<size_t>(r * ld), T(777.0f)) {
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    for (int64_t i = 0; i < r; ++i)
      for (int64_t j = 0; j < c; ++j) data[static_cast<size_t>(i * ld + j)] = T(uniform(random));
  }
  double at(int64_t i, int64_t j) const {
    return static_cast<double>(static_cast<Wide>(data[static_cast<size_t>(i * ld + j)]));
  }
  bool padding_is_intact() const {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = columns; j < ld; ++j)
        if (at(i, j) != static_cast<double>(static_cast<Wide>(T(777.0f)))) return false;
    return true;
  }

 private:
  using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
};

double gelu(double x) { return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0))); }
double gelu_slope(double x) {
  return 0.5 * (1.0 + std::erf(x / std::sqrt(2.0))) + x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * M_PI);
}

struct Case {
  int64_t m, n, k;
  Transpose transpose_a = Transpose::no, transpose_b = Transpose::no;
  Accumulate accumulate = Accumulate::no;
  int64_t pad = 0;
  GemmEpilogue::Kind kind = GemmEpilogue::Kind::none;
};

std::string describe(const Case& c) {
  return fmt::format("m {} n {} k {} transposes {}{} accumulate {} pad {} epilogue {}", c.m, c.n, c.k,
                     static_cast<int>(c.transpose_a), static_cast<int>(c.transpose_b), static_cast<int>(c.accumulate),
                     c.pad, static_cast<int>(c.kind));
}

// Runs one case and compares every element of C and pre.
template <class A, class B, class C>
void expect_right(const Case& t) {
  std::mt19937 random(static_cast<unsigned>(t.m * 131 + t.n * 17 + t.k));
  const bool ta = t.transpose_a == Transpose::yes, tb = t.transpose_b == Transpose::yes;
  Stored<A> a(ta ? t.k : t.m, ta ? t.m : t.k, t.pad, random);
  Stored<B> b(tb ? t.n : t.k, tb ? t.k : t.n, t.pad, random);
  Stored<C> c(t.m, t.n, t.pad, random), pre(t.m, t.n, t.pad, random), bias(1, t.n, 0, random);
  const Stored<C> c_before = c, pre_before = pre;
  GemmEpilogue epilogue{t.kind, nullptr, nullptr};
  if (t.kind == GemmEpilogue::Kind::bias) epilogue = GemmEpilogue::bias(bias.data.data());
  if (t.kind == GemmEpilogue::Kind::bias_gelu) epilogue = GemmEpilogue::bias_gelu(bias.data.data(), pre.data.data());
  if (t.kind == GemmEpilogue::Kind::gelu_gradient) epilogue = GemmEpilogue::gelu_gradient(pre.data.data());
  gemm(t.m, t.n, t.k, {a.data.data(), a.ld, t.transpose_a}, {b.data.data(), b.ld, t.transpose_b},
       {c.data.data(), c.ld, t.accumulate}, epilogue);

  // Rounding of k additions of numbers below 1, then of the result to the type of C.
  const bool f64 = std::is_same_v<C, double>, half = std::is_same_v<C, bf16>;
  const double sum_error = (f64 ? 1e-16 : 1.2e-7) * (4.0 + 0.75 * static_cast<double>(t.k));
  const double rounding = f64 ? 1e-15 : half ? 4e-3 : 3e-7;
  for (int64_t i = 0; i < t.m; ++i) {
    for (int64_t j = 0; j < t.n; ++j) {
      double sum = t.accumulate == Accumulate::yes ? c_before.at(i, j) : 0.0;
      for (int64_t p = 0; p < t.k; ++p) sum += (ta ? a.at(p, i) : a.at(i, p)) * (tb ? b.at(j, p) : b.at(p, j));
      double want = sum, want_pre = pre_before.at(i, j);
      if (epilogue.bias_data) want_pre = want = sum + bias.at(0, j);
      if (t.kind == GemmEpilogue::Kind::bias_gelu) want = gelu(want);
      if (t.kind == GemmEpilogue::Kind::bias) want_pre = pre_before.at(i, j);
      if (t.kind == GemmEpilogue::Kind::gelu_gradient) want = sum * gelu_slope(want_pre);
      const double tolerance =
          sum_error * (1.0 + std::abs(want_pre)) + rounding * (std::abs(want) + std::abs(want_pre));
      ASSERT_NEAR(c.at(i, j), want, tolerance) << "C at " << i << ", " << j << ": " << describe(t);
      ASSERT_NEAR(pre.at(i, j), want_pre, tolerance) << "pre at " << i << ", " << j << ": " << describe(t);
    }
  }
  EXPECT_TRUE(c.padding_is_intact() && pre.padding_is_intact()) << describe(t);
}

class Gemm : public testing::TestWithParam<Isa> {
  IsaScope scope_{GetParam()};
};

template <class A, class B, class C>
void expect_all_small_sizes_right(std::initializer_list<int64_t> sizes) {
  for (Transpose ta : kTransposes)
    for (Transpose tb : kTransposes)
      for (int64_t m : sizes)
        for (int64_t n : sizes)
          for (int64_t k : sizes) {
            const Accumulate accumulate = (m + n + k) % 2 == 0 ? Accumulate::yes : Accumulate::no;
            expect_right<A, B, C>({m, n, k, ta, tb, accumulate, (m + k) % 3});
          }
}

TEST_P(Gemm, SmallAndOddSizesInF32) {
  expect_all_small_sizes_right<float, float, float>({1, 2, 3, 5, 8, 9, 13, 14, 15, 16, 17, 31, 33, 48});
}

TEST_P(Gemm, SmallAndOddSizesInF64) { expect_all_small_sizes_right<double, double, double>({1, 3, 6, 8, 15, 17, 33}); }

TEST_P(Gemm, Bf16Storage) {
  expect_all_small_sizes_right<bf16, bf16, float>({1, 3, 8, 17, 33});
  expect_all_small_sizes_right<float, bf16, float>({1, 3, 17, 33});
  expect_all_small_sizes_right<bf16, float, float>({1, 3, 17, 33});
  expect_all_small_sizes_right<bf16, bf16, bf16>({1, 3, 8, 17, 33});
  expect_right<bf16, bf16, bf16>({600, 40, 500, Transpose::no, Transpose::yes, Accumulate::yes, 1});
}

// Several blocks in every direction, and sizes of the models.
TEST_P(Gemm, LargerThanOneBlock) {
  for (Transpose ta : kTransposes)
    for (Transpose tb : kTransposes) {
      expect_right<float, float, float>({701, 131, 801, ta, tb, Accumulate::yes, 3});
      expect_right<float, float, float>({37, 4500, 40, ta, tb, Accumulate::no, 0});
      expect_right<double, double, double>({180, 33, 300, ta, tb, Accumulate::yes, 1});
      expect_right<float, float, float>({500, 32, 512, ta, tb, Accumulate::yes, 0});
      expect_right<float, float, float>({32, 300, 512, ta, tb, Accumulate::yes, 0});
      expect_right<float, float, float>({130, 138, 256, ta, tb, Accumulate::no, 0});
    }
}

// Around the sizes where the own kernels begin to pack A or B.
TEST_P(Gemm, PackedAndAsStored) {
  for (Transpose ta : kTransposes)
    for (Transpose tb : kTransposes)
      for (int64_t m : {9, 15, 29, 64, 65, 79})
        for (int64_t n : {63, 64, 65, 130})
          for (int64_t k : {1, 15, 40})
            expect_right<float, float, float>({m, n, k, ta, tb, k == 15 ? Accumulate::yes : Accumulate::no, k % 2});
}

// Few rows of a transposed A: tiles much narrower than a vector, packed side by side.
TEST_P(Gemm, NarrowTiles) {
  for (int64_t m = 1; m <= 34; ++m) expect_right<float, float, float>({m, 300, 310, Transpose::yes});
}

TEST_P(Gemm, Epilogues) {
  using Kind = GemmEpilogue::Kind;
  for (Kind kind : {Kind::bias, Kind::bias_gelu, Kind::gelu_gradient})
    for (int64_t m : {1, 7, 40})
      for (int64_t n : {1, 17, 100})
        for (int64_t k : {0, 3, 600})
          for (Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
            const Case t{m, n, k, Transpose::no, Transpose::yes, accumulate, n % 4, kind};
            expect_right<float, float, float>(t);
            expect_right<double, double, double>(t);
            expect_right<bf16, bf16, bf16>(t);
          }
}

TEST_P(Gemm, NothingToSum) {
  for (Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
    expect_right<float, float, float>({3, 5, 0, Transpose::no, Transpose::no, accumulate, 2});
    expect_right<double, double, double>({3, 5, 0, Transpose::no, Transpose::no, accumulate, 2});
    expect_right<bf16, bf16, bf16>({3, 5, 0, Transpose::no, Transpose::no, accumulate, 2});
  }
  gemm(0, 5, 3, {static_cast<float*>(nullptr), 3}, {static_cast<float*>(nullptr), 5},
       {static_cast<float*>(nullptr), 5});
}

TEST_P(Gemm, InfinityAndNanReachTheResult) {
  for (int64_t m : {2, 20}) {  // both paths
    std::vector<float> a(static_cast<size_t>(m) * 5, 1.0f), b(5 * 3, 1.0f), c(static_cast<size_t>(m) * 3, NAN);
    a[0] = INFINITY;
    b[3] = NAN;  // W [3,5], column 3 of row 0
    gemm(m, 3, 5, {a.data(), 5}, {b.data(), 5, Transpose::yes}, {c.data(), 3});
    EXPECT_TRUE(std::isnan(c[0]) && std::isinf(c[1]) && std::isnan(c[3]));
    EXPECT_EQ(c[4], 5.0f) << "C was not initialised and must not be read";
  }
}

TEST_P(Gemm, BatchedEqualsOneByOne) {
  std::mt19937 random(5);
  constexpr int64_t count = 5, m = 33, n = 17, k = 19;
  Stored<float> a(count * m, k, 0, random), b(n, k, 0, random), c(count * m, n, 2, random);
  Stored<float> want = c;
  gemm_batched(count, m, n, k, {a.data.data(), k}, m * k, {b.data.data(), k, Transpose::yes}, 0,
               {c.data.data(), c.ld, Accumulate::yes}, m * c.ld);
  for (int64_t i = 0; i < count; ++i)
    gemm(m, n, k, {&a.data[static_cast<size_t>(i * m * k)], k}, {b.data.data(), k, Transpose::yes},
         {&want.data[static_cast<size_t>(i * m * c.ld)], c.ld, Accumulate::yes});
  EXPECT_EQ(c.data, want.data);
}

TEST_P(Gemm, ColumnSum) {
  std::mt19937 random(6);
  for (int64_t m : {1, 3, 40})
    for (int64_t n : {1, 17, 64, 150}) {
      Stored<float> x(m, n, 3, random), sum(1, n, 0, random);
      Stored<bf16> half(m, n, 1, random);
      Stored<double> wide(m, n, 1, random), wide_sum(1, n, 0, random);
      Stored<float> half_sum = sum;
      Stored<bf16> rounded_sum(1, n, 0, random);
      const Stored<bf16> rounded_before = rounded_sum;
      const Stored<float> before = sum;
      column_sum(m, n, {x.data.data(), x.ld}, {sum.data.data(), n, Accumulate::yes});
      column_sum(m, n, {half.data.data(), half.ld}, {half_sum.data.data(), n});
      column_sum(m, n, {half.data.data(), half.ld}, {rounded_sum.data.data(), n, Accumulate::yes});
      column_sum(m, n, {wide.data.data(), wide.ld}, {wide_sum.data.data(), n});
      for (int64_t j = 0; j < n; ++j) {
        double want = before.at(0, j), want_half = 0, want_wide = 0;
        for (int64_t i = 0; i < m; ++i) want += x.at(i, j), want_half += half.at(i, j), want_wide += wide.at(i, j);
        EXPECT_NEAR(sum.at(0, j), want, 1e-5);
        EXPECT_NEAR(half_sum.at(0, j), want_half, 1e-5);
        EXPECT_NEAR(rounded_sum.at(0, j), want_half + rounded_before.at(0, j), 4e-3 * (1 + std::abs(want_half)));
        EXPECT_NEAR(wide_sum.at(0, j), want_wide, 1e-13);
      }
    }
}

#if defined(_OPENMP)
TEST_P(Gemm, TheNumberOfThreadsDoesNotChangeTheResult) {
  const int threads = omp_get_max_threads();
  std::mt19937 random(7);
  for (const GemmShape& s : {GemmShape{301, 200, 500}, GemmShape{4, 900, 700, Transpose::no, Transpose::yes},
                             GemmShape{40, 2000, 450, Transpose::yes, Transpose::no}}) {
    const bool ta = s.transpose_a == Transpose::yes, tb = s.transpose_b == Transpose::yes;
    Stored<float> a(ta ? s.k : s.m, ta ? s.m : s.k, 0, random), b(tb ? s.n : s.k, tb ? s.k : s.n, 0, random);
    std::vector<float> first;
    for (int count : {1, 2, 3, 4, 7}) {
      omp_set_num_threads(count);
      std::vector<float> c(static_cast<size_t>(s.m * s.n));
      gemm(s.m, s.n, s.k, {a.data.data(), a.ld, s.transpose_a}, {b.data.data(), b.ld, s.transpose_b}, {c.data(), s.n});
      if (first.empty()) first = c;
      EXPECT_EQ(std::memcmp(first.data(), c.data(), c.size() * sizeof(float)), 0) << count << " threads";
    }
  }
  omp_set_num_threads(threads);
}
#endif

std::vector<Isa> supported() {
  std::vector<Isa> found;
  for (Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512})
    if (is_supported(isa)) found.push_back(isa);
  return found;
}

INSTANTIATE_TEST_SUITE_P(Isa, Gemm, testing::ValuesIn(supported()),
                         [](const auto& test) { return std::string(name_of(test.param)); });

TEST(GemmErrors, DtypesThatDoNotMix) {
  float f = 1;
  double d = 1;
  EXPECT_THROW(gemm(1, 1, 1, {&f, 1}, {&f, 1}, {&d, 1}), std::invalid_argument);
  EXPECT_THROW(gemm(1, 1, 1, {&f, Dtype::i32, 1}, {&f, 1}, {&f, 1}), std::invalid_argument);
  EXPECT_THROW(column_sum(1, 1, {&f, 1}, {&d, 1}), std::invalid_argument);
}

TEST(GemmPlan, EveryLibraryGivesTheProduct) {
  for (GemmBackend backend : {GemmBackend::own, GemmBackend::onednn, GemmBackend::cblas}) {
    if (!is_available(backend)) continue;
    for (Transpose ta : kTransposes)
      for (Transpose tb : kTransposes)
        for (auto kind : {GemmEpilogue::Kind::none, GemmEpilogue::Kind::bias_gelu}) {
          GemmPlan plan;
          plan.set({40, 50, 60, ta, tb}, backend);
          const GemmPlanScope scope(plan);
          expect_right<float, float, float>({40, 50, 60, ta, tb, Accumulate::yes, 1, kind});
        }
  }
}

TEST(GemmPlan, TextHoldsThePlan) {
  EXPECT_EQ(GemmPlan().to_string(), "");
  EXPECT_EQ(GemmPlan::from_string(" "), GemmPlan());
  EXPECT_EQ(GemmPlan::from_string("1x2x3 nt own"), GemmPlan());
  for (const char* text : {"1x2x3", "1x2 nt own", "1x2x3 nt", "1x2x3 na own", "ax2x3 nn own", "1x2x3 nn magic",
                           "-1x2x3 nn own", "1x2x3x4 nn own", ";"})
    EXPECT_THROW(GemmPlan::from_string(text), std::invalid_argument) << text;
  for (GemmBackend backend : {GemmBackend::onednn, GemmBackend::cblas}) {
    const GemmShape shape{1024, 512, 2048, Transpose::yes, Transpose::no};
    GemmPlan plan;
    if (!is_available(backend)) {
      EXPECT_THROW(plan.set(shape, backend), std::invalid_argument);
      continue;
    }
    plan.set(shape, backend);
    plan.set({1, 2, 3}, backend);
    EXPECT_EQ(plan.to_string(), fmt::format("1x2x3 nn {0}; 1024x512x2048 tn {0}", name_of(backend)));
    EXPECT_EQ(GemmPlan::from_string(plan.to_string()), plan);
    EXPECT_EQ(plan.backend(shape), backend);
    EXPECT_EQ(plan.backend({1024, 512, 2048}), GemmBackend::own);
  }
}

TEST(GemmPlan, TuneNamesOnlyShapesItWasAskedFor) {
  const GemmPlan plan = tune({{64, 64, 64}, {32, 48, 16, Transpose::yes, Transpose::no}});
  EXPECT_EQ(plan.backend({64, 64, 65}), GemmBackend::own);
  EXPECT_EQ(GemmPlan::from_string(plan.to_string()), plan);
}

}  // namespace
}  // namespace vigor
