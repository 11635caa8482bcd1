#include "kernels/linear_cross_entropy/linear_cross_entropy.h"

#include <gtest/gtest.h>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/linear/linear.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
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
