#include "kernels/reduce/reduce.h"

#include "autograd/engine.h"
#include "autograd/graph.h"
#include "kernels/reduce/sum_to.h"
#include "tensor/simd.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

enum class Kind { sum, mean, max };

Tensor apply(Kind kind, const Tensor& x, const std::vector<int>& dims, bool keepdim = false) {
  switch (kind) {
    case Kind::sum:
      return sum(x, dims, keepdim);
    case Kind::mean:
      return mean(x, dims, keepdim);
    default:
      return max(x, dims, keepdim);
  }
}

// One element of x after the other, in f64.
Tensor definition(Kind kind, const Tensor& x, const std::vector<int>& dims, bool keepdim = false) {
  Shape kept = x.shape(), result;
  std::vector<bool> named(static_cast<size_t>(x.rank()));
  double count = 1;
  for (int dim : dims) {
    const int d = dim < 0 ? dim + x.rank() : dim;
    named[static_cast<size_t>(d)] = true;
    kept[d] = 1;
    count *= static_cast<double>(x.shape()[d]);
  }
  for (int d = 0; d < x.rank(); ++d)
    if (keepdim || !named[static_cast<size_t>(d)]) result.push_back(kept[d]);
  std::vector<double> y(static_cast<size_t>(kept.numel()), kind == Kind::max ? -INFINITY : 0.0);
  const std::vector<double> values = x.to_vector<double>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    int64_t rest = i, to = 0, step = 1;
    for (int d = x.rank() - 1; d >= 0; --d) {
      if (kept[d] != 1) to += rest % x.shape()[d] * step;
      step *= kept[d];
      rest /= x.shape()[d];
    }
    double& out = y[static_cast<size_t>(to)];
    const double v = values[static_cast<size_t>(i)];
    out = kind == Kind::max ? std::fmax(out, v) : out + v;
  }
  if (kind == Kind::mean)
    for (double& v : y) v /= count;
  return from_values(y, result);
}

struct Case {
  Shape sizes;
  std::vector<int> dims;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{}, {}},
      {{1}, {0}},
      {{7}, {0}},
      {{3, 5}, {}},
      {{3, 5}, {0}},
      {{3, 5}, {1}},
      {{17, 33}, {-1}},
      {{17, 33}, {0}},
      {{33, 300}, {0}},
      {{4, 3, 5}, {1}},
      {{4, 3, 5}, {0, 2}},
      {{4, 3, 5}, {2, 0}},
      {{4, 3, 5}, {0, 1, 2}},
      {{2, 1, 3, 4}, {1}},
      {{2, 3, 1, 5}, {0}},
      {{2, 3, 4, 5}, {1, 3}},
      {{2, 3, 4, 5}, {1, 2}},
      {{1, 1}, {0}},
      {{64, 128}, {1}},
      {{3, 1}, {1}},
  };
  return all;
}

TEST(Reduce, HandWorked) {
  const Tensor x = from_values(std::vector<float>{1, 2, 3, 4, 5, 0}, {2, 3});
  expect_values(sum(x), {15});
  expect_values(mean(x), {2.5});
  expect_values(max(x), {5});
  expect_values(sum(x, {0}), {5, 7, 3});
  expect_values(mean(x, {1}), {2, 3});
  expect_values(max(x, {1}, true), {3, 5});
  EXPECT_EQ(max(x, {1}, true).shape(), (Shape{2, 1}));
  EXPECT_EQ(sum(x).shape(), Shape{});
}

TEST(Reduce, EqualsTheDefinition) {
  for (Kind kind : {Kind::sum, Kind::mean, Kind::max}) {
    for (const Case& c : cases()) {
      for (bool keepdim : {false, true}) {
        SCOPED_TRACE(to_string(c.sizes) + " kind " + std::to_string(static_cast<int>(kind)));
        const Tensor exact = random(c.sizes, Dtype::f64);
        expect_close(apply(kind, exact, c.dims, keepdim), definition(kind, exact, c.dims, keepdim), 1e-13);
        const Tensor x = converted(exact, Dtype::f32);
        expect_close(apply(kind, x, c.dims, keepdim), definition(kind, x, c.dims, keepdim), 2e-5, 1e-6);
        for (const Tensor& strided : strided_variants(x))
          expect_close(apply(kind, strided, c.dims, keepdim), definition(kind, x, c.dims, keepdim), 2e-5, 1e-6);
        const Tensor rounded = converted(exact, Dtype::bf16);
        expect_close(apply(kind, rounded, c.dims, keepdim), definition(kind, rounded, c.dims, keepdim), 1e-4, 8e-3);
      }
    }
  }
}

TEST(Reduce, EveryInstructionSetAgrees) {
  for (Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    SCOPED_TRACE(name_of(isa));
    const IsaScope scope(isa);
    const Tensor x = random({150, 5000});
    for (Kind kind : {Kind::sum, Kind::max})
      for (const std::vector<int>& dims : {std::vector<int>{0}, {1}, {0, 1}})
        expect_close(apply(kind, x, dims), definition(kind, x, dims), 1e-3, 1e-6);  // 750,000 numbers
  }
}

TEST(Reduce, LongSumsStayAccurate) {
  // 0.1 is not a float: adding four million of them one by one in f32 would be off by percents.
  const Tensor x = full({4, 1 << 20}, 0.1);
  const double expected = static_cast<double>(0.1f) * (1 << 22);
  EXPECT_NEAR(sum(x).item<double>() / expected, 1, 1e-6);
  expect_close(sum(x, {1}), full({4}, expected / 4), 0, 1e-6);
  expect_close(sum(from_values(std::vector<float>(1 << 20, 0.1f), {1 << 20, 1}), {0}), full({1}, expected / 4), 0,
               1e-6);
  expect_close(sum(full({1 << 17, 8}, 0.1), {0}), full({8}, expected / 32), 0, 1e-6);
}

TEST(Reduce, Gradients) {
  for (Kind kind : {Kind::sum, Kind::mean, Kind::max})
    for (const Case& c : cases())
      for (bool keepdim : {false, true}) {
        if (c.sizes.numel() > 600) continue;
        SCOPED_TRACE(to_string(c.sizes) + " kind " + std::to_string(static_cast<int>(kind)));
        expect_gradients([&](std::span<const Tensor> in) { return apply(kind, in[0], c.dims, keepdim); },
                         {random(c.sizes, Dtype::f64, 1)});
      }
  expect_gradients(
      [](std::span<const Tensor> in) {
        return std::vector<Tensor>{sum(in[0]), mean(in[0]), max(in[0])};
      },
      {random({3, 4}, Dtype::f64, 2)});
}

TEST(Reduce, MaximumSendsItsGradientToTheFirstOfEquals) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    const Tensor x = converted(from_values(std::vector<float>{1, 3, 3, 2, 2, 1}, {2, 3}), dtype);
    for (const Tensor& variant : {x, with_gaps(x), transposed_storage(x)}) {
      const Tensor leaf = set_requires_grad(variant.without_slot());
      const Tensor y = max(leaf, {1}), dy = converted(from_values(std::vector<float>{5, 7}, {2}), dtype);
      backward(std::span(&y, 1), std::span(&dy, 1));
      expect_values(grad(leaf), {0, 5, 0, 7, 0, 0});
    }
    const Tensor leaf = set_requires_grad(x);
    backward(max(leaf));
    expect_values(grad(leaf), {0, 1, 0, 0, 0, 0});
  }
}

TEST(Reduce, NotANumberReachesTheMaximum) {
  for (int64_t n : {1, 5, 40, 5000})
    for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
      std::vector<float> values(static_cast<size_t>(n), 1.0f);
      values[static_cast<size_t>(at)] = NAN;
      EXPECT_TRUE(std::isnan(max(from_values(values, {n})).item<float>()));
      EXPECT_TRUE(std::isnan(max(from_values(values, {n, 1}), {0}).item<float>()));
      const Tensor leaf = set_requires_grad(from_values(values, {n}));
      backward(max(leaf));
      EXPECT_EQ(grad(leaf).to_vector<float>()[static_cast<size_t>(at)], 1.0f);
    }
}

TEST(Reduce, NoElements) {
  expect_values(sum(zeros({0, 3})), {0});
  expect_values(sum(zeros({0, 3}), {0}), {0, 0, 0});
  EXPECT_EQ(sum(zeros({0, 3}), {1}).shape(), Shape{0});
  EXPECT_TRUE(std::isnan(mean(zeros({0})).item<float>()));
  EXPECT_EQ(max(zeros({0, 3}), {1}).shape(), Shape{0});
  expect_error([] { max(zeros({0, 3}), {0}); }, {"max: ", "[0,3]"});
  const Tensor leaf = set_requires_grad(zeros({0, 3}));
  backward(sum(leaf));
  EXPECT_EQ(grad(leaf).shape(), (Shape{0, 3}));
}

TEST(Reduce, SumToUndoesBroadcasting) {
  const Tensor x = random({2, 3, 4}, Dtype::f64);
  EXPECT_TRUE(sum_to(x, {2, 3, 4}).same_as(x));
  expect_close(sum_to(x, {3, 1}), definition(Kind::sum, sum(x, {0}), {1}, true), 1e-14);
  expect_close(sum_to(x, {4}), definition(Kind::sum, x, {0, 1}), 1e-14);
  expect_close(sum_to(x, {}), definition(Kind::sum, x, {0, 1, 2}), 1e-14);
}

TEST(Reduce, SumSavesNothing) {
  const Tensor x = set_requires_grad(random({8, 8}));
  EXPECT_EQ(saved_bytes(sum(x)), 0u);
  EXPECT_EQ(saved_bytes(mean(x, {1})), 0u);
}

TEST(Reduce, ErrorsNameTheOperationAndWhatArrived) {
  expect_error([] { sum(zeros({2, 3}), {2}); }, {"sum: ", "2"});
  expect_error([] { mean(zeros({2, 3}), {1, -1}); }, {"mean: dimension 1 is named twice"});
  expect_error([] { max(zeros({2}, Dtype::i32)); }, {"max: ", "[2] i32"});
}

}  // namespace
}  // namespace vigor
