#include "kernels/linear_cross_entropy/linear_cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/linear/linear.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
#include "kernels/matmul/matmul.h"
#include "kernels/views/views.h"
#include "tensor/allocator.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random;
using testing::random_ids;

std::vector<Tensor> leaves(int64_t N, int64_t d, int64_t V, Dtype dtype, bool with_bias = true) {
  std::vector<Tensor> in = {random({N, d}, dtype, 1), random({V, d}, dtype, 2)};
  in.push_back(with_bias ? random({V}, dtype, 3) : Tensor());
  for (const Tensor& x : in)
    if (x.defined()) set_requires_grad(x);
  return in;
}

TEST(LinearCrossEntropy, Gradients) {
  for (const int64_t size : {1, 3, 17, 33}) {
    const Tensor targets = random_ids({size}, size + 1, Dtype::i64);
    const auto f = [&](std::span<const Tensor> in) { return linear_cross_entropy(in[0], in[1], in[2], targets, 0); };
    testing::expect_gradients(
        f, {random({size, 4}, Dtype::f64, 1), random({size + 1, 4}, Dtype::f64, 2), random({size + 1}, Dtype::f64, 3)});
    testing::expect_gradients(f, {testing::transposed_storage(random({size, 4}, Dtype::f64, 1)),
                                  testing::row_slice(random({size + 1, 4}, Dtype::f64, 2)), Tensor()});
  }
}

// The composed form, with all logits at once, is the definition.
TEST(LinearCrossEntropy, EqualsLinearThenCrossEntropy) {
  Tensor targets = random_ids({13}, 33);
  targets.data<int32_t>()[3] = targets.data<int32_t>()[7] = -1;
  std::vector<std::vector<Tensor>> found;
  for (const bool fused : {false, true}) {
    const std::vector<Tensor> in = leaves(13, 5, 33, Dtype::f64);
    const Tensor loss = fused ? linear_cross_entropy(in[0], in[1], in[2], targets)
                              : cross_entropy(linear(in[0], in[1], in[2]), targets);
    backward(loss);
    found.push_back({loss, grad(in[0]), grad(in[1]), grad(in[2])});
  }
  for (size_t i = 0; i < 4; ++i) expect_close(found[1][i], found[0][i], 1e-14, 1e-12);
}

// Any number of tokens at a time gives the same, the last chunk being shorter.
TEST(LinearCrossEntropy, ChunksAreOneWhole) {
  const int64_t N = 13, d = 5, V = 33;
  const Tensor targets = random_ids({N}, V, Dtype::i64);
  const std::vector<Tensor> in = leaves(N, d, V, Dtype::f64);
  const Tensor weight = full({}, 0.5, Dtype::f64);
  std::vector<Tensor> whole;
  for (const int64_t chunk : {N, int64_t{4}, int64_t{1}}) {
    const std::vector<Tensor> out = {empty({N}, Dtype::f64), empty({N, d}, Dtype::f64), empty({V, d}, Dtype::f64),
                                     empty({V}, Dtype::f64)};
    linear_cross_entropy_cpu(
        {in[0], in[1], in[2], targets, 0, weight, empty({chunk, V}, Dtype::f64), out[0], out[1], out[2], out[3]});
    if (whole.empty()) whole = out;
    for (size_t i = 0; i < out.size(); ++i) expect_close(out[i], whole[i], 1e-14, 1e-12);
  }
}

TEST(LinearCrossEntropy, F32EqualsF64) {
  for (const int64_t size : {1, 3, 17, 33, 64}) {
    const Tensor targets = random_ids({size}, 3 * size);
    const std::vector<Tensor> in = leaves(size, size, 3 * size, Dtype::f32);
    const Tensor loss = linear_cross_entropy(in[0], in[1], in[2], targets);
    backward(loss);
    std::vector<Tensor> exact;
    for (const Tensor& x : in) exact.push_back(set_requires_grad(testing::converted(x, Dtype::f64)));
    const Tensor expected = linear_cross_entropy(exact[0], exact[1], exact[2], targets);
    backward(expected);
    expect_close(loss, expected, 1e-6, 1e-6);
    for (size_t i = 0; i < in.size(); ++i) expect_close(grad(in[i]), grad(exact[i]), 1e-6, 1e-4);
  }
}

TEST(LinearCrossEntropy, Bf16) {
  const Tensor targets = random_ids({40}, 60);
  const std::vector<Tensor> in = leaves(40, 16, 60, Dtype::bf16);
  std::vector<Tensor> exact;
  for (const Tensor& x : in) exact.push_back(set_requires_grad(testing::converted(x, Dtype::f64)));
  const Tensor loss = linear_cross_entropy(in[0], in[1], in[2], targets);
  const Tensor expected = linear_cross_entropy(exact[0], exact[1], exact[2], targets);
  EXPECT_EQ(loss.dtype(), Dtype::f32);
  expect_close(loss, expected, 1e-6, 1e-6);  // logits and sums are f32
  backward(loss);
  backward(expected);
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(grad(in[i]).dtype(), Dtype::bf16);
    expect_close(grad(in[i]), grad(exact[i]), 1e-6, 0.005);  // rounded once
  }
}

// dloss other than 1, leaves with and without buffers, and a second backward that adds.
TEST(LinearCrossEntropy, GradientsAreScaledAndAddUp) {
  const Tensor targets = random_ids({6}, 9);
  const std::vector<Tensor> plain = leaves(6, 4, 9, Dtype::f32), buffered = leaves(6, 4, 9, Dtype::f32);
  for (const Tensor& x : buffered) set_grad_buffer(x, full(x.shape(), 99));
  const auto run = [&](const std::vector<Tensor>& in, double scale) {
    const Tensor loss = linear_cross_entropy(in[0], in[1], in[2], targets), up = full({}, scale);
    backward(std::span(&loss, 1), std::span(&up, 1));
  };
  run(plain, 1);
  std::vector<Tensor> unit;
  for (const Tensor& x : plain) unit.push_back(clone(grad(x)));
  run(plain, -0.5);
  run(buffered, 0.25);
  run(buffered, 0.25);
  for (size_t i = 0; i < 3; ++i) {
    std::vector<double> half = unit[i].to_vector<double>();
    for (double& v : half) v *= 0.5;
    testing::expect_values(grad(plain[i]), half, 1e-6);
    testing::expect_values(grad(buffered[i]), half, 1e-6);
  }
}

TEST(LinearCrossEntropy, GradientOfTheWeightIsNotCopied) {
  const std::vector<Tensor> in = leaves(2, 1000, 1000, Dtype::f32);
  const Tensor targets = random_ids({2}, 1000);
  const Tensor loss = linear_cross_entropy(in[0], in[1], in[2], targets);
  allocator_of(kCpu).reset_peak();
  const size_t before = allocator_of(kCpu).stats().current_bytes;
  backward(loss);
  EXPECT_LT(allocator_of(kCpu).stats().peak_bytes - before, in[1].nbytes());
}

TEST(LinearCrossEntropy, PerTokenLosses) {
  const std::vector<Tensor> in = leaves(5, 4, 9, Dtype::f32, false);
  Tensor targets = random_ids({5}, 9);
  targets.data<int32_t>()[2] = -1;
  const Tensor losses = linear_cross_entropy_per_token(in[0], in[1], in[2], targets);
  EXPECT_FALSE(requires_grad(losses));
  double sum = 0;
  for (const float loss : losses.to_vector<float>()) sum += static_cast<double>(loss);
  EXPECT_EQ(losses.to_vector<float>()[2], 0);
  EXPECT_NEAR(sum / 4, static_cast<double>(linear_cross_entropy(in[0], in[1], in[2], targets).item<float>()), 1e-6);
}

struct Outcome {
  Tensor loss, dx, dw, dbias;
  FilterCount count;
};

Outcome run_filtered(const std::vector<Tensor>& values, const Tensor& targets, double threshold, Dtype dtype) {
  std::vector<Tensor> in;
  for (const Tensor& x : values) in.push_back(x.defined() ? set_requires_grad(testing::converted(x, dtype)) : Tensor());
  Outcome out;
  out.loss = linear_cross_entropy(in[0], in[1], in[2], targets, -1, {threshold, &out.count});
  backward(out.loss);
  out.dx = grad(in[0]);
  out.dw = grad(in[1]);
  if (in[2].defined()) out.dbias = grad(in[2]);
  return out;
}

// dlogits with outer products of sums for what is left out, and what follows from it: the definition, in f64.
Outcome filtered_definition(const std::vector<Tensor>& values, const Tensor& targets, double threshold) {
  const Tensor& x = values[0];
  const int64_t N = x.size(0), V = values[1].size(0);
  const Tensor logits = set_requires_grad(linear(x, values[1], values[2]));
  Outcome out;
  out.loss = cross_entropy(logits, targets);
  backward(out.loss);
  const Tensor dlogits = grad(logits);
  int64_t counted = 0;
  for (int64_t i = 0; i < N; ++i) counted += targets.data<int32_t>()[i] >= 0 ? 1 : 0;
  const Tensor filtered = clone(dlogits), ones = full({1, N}, 1, Dtype::f64);
  for (int64_t start = 0; start < N; start += kFilterTokens) {
    const int64_t end = std::min(N, start + kFilterTokens);
    std::vector<int64_t> left_out;
    for (int64_t v = 0; v < V; ++v) {
      double largest = 0;
      for (int64_t i = start; i < end; ++i)
        largest = std::max(largest, std::abs(dlogits.data<double>()[i * V + v]) * static_cast<double>(counted));
      ++out.count.all;
      if (largest >= threshold) ++out.count.kept;
      else left_out.push_back(v);
    }
    std::vector<double> shares;
    double total = 0;
    for (int64_t i = start; i < end; ++i) {
      double sum = 0;
      for (const int64_t v : left_out) sum += dlogits.data<double>()[i * V + v];
      shares.push_back(std::max(0.0, sum));
      total += shares.back();
    }
    for (const int64_t v : left_out) {
      double sum = 0;
      for (int64_t i = start; i < end; ++i) sum += dlogits.data<double>()[i * V + v];
      for (int64_t i = start; i < end; ++i)
        filtered.data<double>()[i * V + v] = total > 0 ? sum * shares[static_cast<size_t>(i - start)] / total : 0;
    }
  }
  out.dx = matmul(filtered, values[1]);
  out.dw = matmul(transpose(filtered, 0, 1), x);
  out.dbias = reshape(matmul(ones, dlogits), {V});
  return out;
}

// x [N,d] and weight [V,d] whose softmax has a few large entries a token.
std::vector<Tensor> peaked(int64_t N, int64_t d, int64_t V) {
  return {random({N, d}, Dtype::f64, 1, -4, 4), random({V, d}, Dtype::f64, 2, -4, 4), random({V}, Dtype::f64, 3)};
}

TEST(LinearCrossEntropyFilter, EqualsTheDefinition) {
  struct Case {
    int64_t N, d, V;
    double threshold;
  };
  for (const Case& c : {Case{1, 1, 1, 0.5}, Case{5, 8, 70, 1e-3}, Case{300, 6, 2500, 0x1p-12}, Case{129, 3, 40, 0.9}})
    for (const bool some_ignored : {false, true}) {
      SCOPED_TRACE(c.N);
      Tensor targets = random_ids({c.N}, c.V);
      if (some_ignored) targets.data<int32_t>()[c.N / 2] = -1;
      const std::vector<Tensor> in = peaked(c.N, c.d, c.V);
      const Outcome expected = filtered_definition(in, targets, c.threshold);
      for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
        const Outcome found = run_filtered(in, targets, c.threshold, dtype);
        const double tolerance = dtype == Dtype::f64 ? 1e-13 : 2e-6;
        expect_close(found.loss, expected.loss, tolerance, tolerance);
        expect_close(found.dx, expected.dx, tolerance, 10 * tolerance);
        expect_close(found.dw, expected.dw, tolerance, 10 * tolerance);
        expect_close(found.dbias, expected.dbias, tolerance, 10 * tolerance);
        EXPECT_EQ(found.count.all, expected.count.all);
        EXPECT_EQ(found.count.kept, expected.count.kept);
      }
    }
}

// A peaked softmax needs few columns, and what is lost is as little as the card says: the threshold at most for each
// entry of dlogits.
TEST(LinearCrossEntropyFilter, SkipsMostAndLosesLittle) {
  const int64_t N = 200, d = 16, V = 3000;
  const double threshold = 0x1p-12;
  const std::vector<Tensor> in = peaked(N, d, V);
  const Tensor targets = random_ids({N}, V);
  const Outcome dense = run_filtered(in, targets, 0, Dtype::f64),
                found = run_filtered(in, targets, threshold, Dtype::f64);
  EXPECT_EQ(found.count.all, 2 * V);
  EXPECT_LT(found.count.kept, V / 2);
  EXPECT_GE(found.count.kept, 180);  // the targets, some of them twice
  EXPECT_EQ(found.loss.item<double>(), dense.loss.item<double>());
  expect_close(found.dbias, dense.dbias, 1e-15, 1e-12);
  // |w| and |x| are at most 4: an element of dx lacks at most V thresholds, one of dW at most N, of tokens' 1 / N each.
  const double of_dx = 4 * threshold * static_cast<double>(V) / static_cast<double>(N), of_dw = 4 * threshold;
  expect_close(found.dx, dense.dx, of_dx, 0);
  expect_close(found.dw, dense.dw, of_dw, 0);
}

// Nothing is below a threshold that no probability reaches; and 0 is the operation without a filter, bit by bit.
TEST(LinearCrossEntropyFilter, LosesNothingWhereNothingIsSkipped) {
  const std::vector<Tensor> in = {random({260, 6}, Dtype::f64, 1), random({1500, 6}, Dtype::f64, 2), Tensor()};
  const Tensor targets = random_ids({260}, 1500);
  const Outcome dense = run_filtered(in, targets, 0, Dtype::f32), found = run_filtered(in, targets, 1e-9, Dtype::f32);
  EXPECT_EQ(dense.count.all, 0);
  EXPECT_EQ(found.count.kept, found.count.all);
  EXPECT_EQ(found.count.all, 3 * 1500);
  expect_close(found.dx, dense.dx, 1e-9, 1e-5);
  expect_close(found.dw, dense.dw, 1e-9, 1e-5);

  const std::vector<Tensor> plain = leaves(260, 6, 1500, Dtype::f32);
  backward(linear_cross_entropy(plain[0], plain[1], plain[2], targets));
  const Outcome off = run_filtered(plain, targets, 0, Dtype::f32);
  testing::expect_equal(off.dx, grad(plain[0]));
  testing::expect_equal(off.dw, grad(plain[1]));
  testing::expect_equal(off.dbias, grad(plain[2]));
}

TEST(LinearCrossEntropyFilter, ChunksAreWholeBlocks) {
  const int64_t N = 300, d = 4, V = 60;
  std::vector<Tensor> in = peaked(N, d, V);
  const Tensor targets = random_ids({N}, V, Dtype::i64), weight = full({}, 1.0 / 300, Dtype::f64);
  std::vector<Tensor> whole;
  for (const int64_t chunk : {N, int64_t{256}, kFilterTokens}) {
    const std::vector<Tensor> out = {empty({N}, Dtype::f64), empty({N, d}, Dtype::f64), empty({V, d}, Dtype::f64),
                                     empty({V}, Dtype::f64)};
    const Tensor largest = empty({V}, Dtype::f64), columns = empty({V}, Dtype::i32);
    const Tensor block = empty({kFilterTokens, kFilterColumns}, Dtype::f64),
                 rows = empty({kFilterColumns, d}, Dtype::f64);
    const Tensor products = empty({kFilterColumns, d}, Dtype::f64), sums = empty({3, V}, Dtype::f64);
    const Tensor shares = empty({N}, Dtype::f64), tail_x = empty({3, d}, Dtype::f64), tail_w = empty_like(tail_x);
    const FilterViews filter{1e-2, largest, columns, block, rows, products, sums, shares, tail_x, tail_w, nullptr};
    linear_cross_entropy_cpu(
        {in[0], in[1], in[2], targets, -1, weight, empty({chunk, V}, Dtype::f64), out[0], out[1], out[2], out[3]},
        &filter);
    if (whole.empty()) whole = out;
    for (size_t i = 0; i < out.size(); ++i) expect_close(out[i], whole[i], 1e-15, 1e-12);
  }
}

// An untrained softmax is the same for all tokens, and below the threshold everywhere: nothing is lost all the same.
TEST(LinearCrossEntropyFilter, AFlatSoftmaxLosesNothing) {
  const int64_t N = 200, d = 8, V = 9000;
  const std::vector<Tensor> in = {random({N, d}, Dtype::f64, 1), zeros({V, d}, Dtype::f64), random({V}, Dtype::f64, 3)};
  const Tensor targets = random_ids({N}, V);
  const Outcome dense = run_filtered(in, targets, 0, Dtype::f64), found = run_filtered(in, targets, 1e-3, Dtype::f64);
  EXPECT_LE(found.count.kept, N);
  expect_close(found.dx, dense.dx, 1e-15, 1e-9);
  expect_close(found.dw, dense.dw, 1e-15, 1e-9);
}

// A gradient that is not finite must not vanish in a block that is skipped.
TEST(LinearCrossEntropyFilter, KeepsNaN) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
    std::vector<Tensor> in = peaked(3, 4, 50);
    in[0].data<double>()[1] = NAN;
    const Outcome found = run_filtered(in, random_ids({3}, 50), 0.1, dtype);
    EXPECT_EQ(found.count.kept, 50);
    EXPECT_TRUE(std::isnan(found.dx.to_vector<double>()[0]));
    EXPECT_TRUE(std::isnan(found.dw.to_vector<double>()[0]));
  }
}

TEST(LinearCrossEntropyFilter, Errors) {
  const std::vector<Tensor> in = leaves(3, 4, 5, Dtype::f32);
  for (const double threshold : {-0.1, 1.5, static_cast<double>(NAN)})
    expect_error(
        [&] {
          linear_cross_entropy(in[0], in[1], in[2], zeros({3}, Dtype::i32), -1, {threshold, nullptr});
        },
        {"linear_cross_entropy: the filter's threshold must be in 0 .. 1"});
}

TEST(LinearCrossEntropy, Errors) {
  const std::vector<Tensor> in = leaves(3, 4, 5, Dtype::f32);
  const Tensor targets = zeros({3}, Dtype::i32);
  expect_error(
      [&] {
        linear_cross_entropy(in[0], random({5, 3}), in[2], targets);
      },
      {"linear_cross_entropy: weight must be [V,d] with d=4", "[5,3] f32", "[3,4] f32"});
  expect_error([&] { linear_cross_entropy(in[0], in[1], random({4}), targets); },
               {"linear_cross_entropy: bias must be [V]=[5]", "[4] f32"});
  expect_error(
      [&] {
        linear_cross_entropy(random({2, 3, 4}), in[1], in[2], targets);
      },
      {"linear_cross_entropy: x must be [N,d]", "[2,3,4] f32"});
  expect_error(
      [&] {
        linear_cross_entropy(in[0], in[1], in[2], from_values(std::vector<int32_t>{0, 1, -7}, {3}));
      },
      {"linear_cross_entropy: targets must be in 0 .. V-1=4", "targets[2] is -7"});
}

}  // namespace
}  // namespace vigor
