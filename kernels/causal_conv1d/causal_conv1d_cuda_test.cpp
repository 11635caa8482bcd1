#include <gtest/gtest.h>

#include "kernels/causal_conv1d/causal_conv1d_testing.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace testing::causal_conv1d_cases;
using testing::expect_equal;
using testing::expect_error;
using testing::random;

void expect_equals_f64(const Case& c, Dtype dtype, Dtype parameters, double tolerance) {
  SCOPED_TRACE(describe(c.inputs[0]) + ", weight " + describe(c.inputs[1]));
  const Case exact = rounded(c, dtype, parameters);
  const std::vector<Tensor> expected = results_and_gradients(exact, Dtype::f64, Dtype::f64);
  const std::vector<Tensor> actual = results_and_gradients(exact, dtype, parameters, kCuda);
  EXPECT_EQ(actual[0].dtype(), dtype);
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i < 2 ? "result " + std::to_string(i) : "gradient of input " + std::to_string(i - 2));
    if (expected[i].defined()) expect_near_largest(actual[i], expected[i], tolerance);
  }
}

std::vector<Case> cases() {
  std::vector<Case> all = {make_case(1, 1, 1, 1),   make_case(2, 1, 64, 4), make_case(2, 33, 3, 4),
                           make_case(1, 32, 16, 2), ragged_case(7, 5, 4),   ragged_case(66, 8, 4),
                           ragged_case(35, 3, 8),   ragged_case(34, 16, 6), make_case(9, 70, 40, 3)};
  all[2].silu = false;
  all[3].inputs[2] = all[3].inputs[3] = Tensor();  // neither bias nor state
  return all;
}

TEST(CausalConv1dCuda, EqualsF64) {
  for (const Case& c : cases()) {
    expect_equals_f64(c, Dtype::f32, Dtype::f32, 1e-6);
    expect_equals_f64(c, Dtype::bf16, Dtype::f32, 0.01);
    expect_equals_f64(c, Dtype::bf16, Dtype::bf16, 0.01);
  }
}

// More runs than the blocks of one partial sum each: a thread has several.
TEST(CausalConv1dCuda, ManySequences) { expect_equals_f64(make_case(270, 3, 4, 4), Dtype::f32, Dtype::f32, 2e-6); }

TEST(CausalConv1dCuda, WarpsMayRunInAnyOrder) {
  const Case c = ragged_case(70, 8, 4);
  std::vector<Tensor> first;
  testing::for_each_warp_order([&] {
    const std::vector<Tensor> again = results_and_gradients(c, Dtype::f32, Dtype::f32, kCuda);
    if (first.empty()) first = again;
    for (size_t i = 0; i < first.size(); ++i) expect_equal(again[i], first[i]);
  });
}

// Padding and what a reset cuts off may hold anything.
TEST(CausalConv1dCuda, HiddenInputsDoNotCount) {
  Case c = ragged_case(40, 8, 3);
  const std::vector<Tensor> expected = results_and_gradients(c, Dtype::f32, Dtype::f32, kCuda);
  c.inputs[0] = clone(c.inputs[0]);
  for (int64_t b = 1; b < 4; ++b)
    for (int64_t t = c.lengths.data<int32_t>()[b]; t < 40; ++t)
      for (int64_t k = 0; k < 8; ++k) c.inputs[0].data<double>()[(b * 40 + t) * 8 + k] = std::nan("");
  const std::vector<Tensor> actual = results_and_gradients(c, Dtype::f32, Dtype::f32, kCuda);
  for (size_t i = 0; i < expected.size(); ++i) expect_equal(actual[i], expected[i]);
}

TEST(CausalConv1dCuda, InfiniteInputsReachKSteps) {
  Case c = make_case(1, 6, 4, 3);
  for (Tensor& input : c.inputs) input = testing::converted(input, Dtype::f32);
  for (int64_t k = 0; k < 4; ++k) c.inputs[0].data<float>()[4 + k] = INFINITY;  // step 1
  std::vector<Tensor> there;
  for (const Tensor& input : c.inputs) there.push_back(testing::on_cuda(input));
  const Tensor y = testing::on_host(run(c, there)[0]);
  for (int64_t i = 0; i < 6 * 4; ++i) EXPECT_EQ(std::isfinite(y.data<float>()[i]), i < 4 || i >= 16) << i;
}

TEST(CausalConv1dCuda, SlicesOfAProjectionGiveTheSameResult) {
  Case c = make_case(2, 5, 32, 4);
  for (Tensor& input : c.inputs) input = testing::converted(input, Dtype::f32);
  std::vector<Tensor> there;
  for (const Tensor& input : c.inputs) there.push_back(testing::on_cuda(input));
  const Tensor expected = testing::on_host(run(c, there)[0]);
  std::vector<Tensor> variants = testing::strided_variants(c.inputs[0]);
  const Tensor wide = zeros({2, 5, 96});  // a slice that packs fit
  variants.push_back(wide.with_view(sliced(wide, -1, 32, 64, 1, "slice")));
  copy(variants.back(), c.inputs[0]);
  for (const Tensor& x : variants) {
    there[0] = testing::on_cuda_strided(x);
    expect_equal(testing::on_host(run(c, there)[0]), expected);
  }
}

TEST(CausalConv1dCuda, GradientsAddUpInLeafBuffers) {
  const Case c = make_case(2, 40, 9, 4);
  std::vector<Tensor> in;
  for (const Tensor& input : c.inputs) {
    in.push_back(set_requires_grad(testing::on_cuda(testing::converted(input, Dtype::f32))));
    set_grad_buffer(in.back(), testing::on_cuda(full(input.shape(), 99)));  // old numbers that count as zero
  }
  const auto once = [&] {
    const Tensor y = run(c, in)[0], up = testing::on_cuda(full(y.shape(), 1));
    backward(std::span(&y, 1), std::span(&up, 1));
  };
  once();
  std::vector<std::vector<double>> first;
  for (const Tensor& x : in) first.push_back(testing::on_host(grad(x)).to_vector<double>());
  once();
  for (size_t i = 0; i < in.size(); ++i) {
    for (double& v : first[i]) v *= 2;
    testing::expect_values(testing::on_host(grad(in[i])), first[i], 1e-5);
  }
}

// The host does not wait to look at lengths on the GPU; the kernels take the nearest that is allowed.
TEST(CausalConv1dCuda, LengthsOutsideAreTakenAsTheNearest) {
  Case c = make_case(2, 5, 4, 4);
  std::vector<Tensor> there;
  for (const Tensor& x : c.inputs) there.push_back(testing::on_cuda(testing::converted(x, Dtype::f32)));
  const auto with = [&](std::vector<int32_t> lengths) {
    c.lengths = testing::on_cuda(from_values(lengths, {2}));
    return testing::on_host(run(c, there)[0]);
  };
  expect_equal(with({-3, 99}), with({0, 5}));
}

// The bytes of the card.
TEST(CausalConv1dCuda, BytesMovedAreThoseOfTheCard) {
  constexpr double B = 2, T = 64, C = 256, K = 4, runs = 2, parts = 1;
  const Case c = make_case(B, T, C, K);
  std::vector<Tensor> in;
  for (size_t i = 0; i < 4; ++i)
    in.push_back(testing::on_cuda(testing::converted(c.inputs[i], i == 1 || i == 2 ? Dtype::f32 : Dtype::bf16)));
  const Tensor dy = testing::on_cuda(full({2, 64, 256}, 1, Dtype::bf16));
  const double pass = 2 * B * T * C, state = 2 * B * (K - 1) * C, halo = 2 * B * (runs - 1) * (K - 1) * C;
  const double weights = 4 * (K + 1) * C * B * runs / 4;
  testing::expect_bytes_moved("conv::forward_kernel", pass + state + halo + weights, pass + state, [&] { run(c, in); });
  set_requires_grad(in[0]), set_requires_grad(in[1]);
  testing::expect_bytes_moved("conv::backward_kernel", 2 * pass + state + 3 * halo + weights,
                              pass + parts * 4 * (K + 1) * C, [&] {
                                const Tensor y = run(c, in)[0];
                                backward(std::span(&y, 1), std::span(&dy, 1));
                              });
}

TEST(CausalConv1dCuda, Errors) {
  const Case c = make_case(1, 2, 4, 4);
  std::vector<Tensor> there;
  for (const Tensor& x : c.inputs) there.push_back(testing::on_cuda(x));
  expect_error([&] { run(c, there); }, {"causal_conv1d: on CUDA x must be f32 or bf16", "f64"});
}

}  // namespace
}  // namespace vigor
