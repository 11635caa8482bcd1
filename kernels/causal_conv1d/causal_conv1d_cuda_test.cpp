#include <gtest/gtest.h>

#include "kernels/causal_conv1d/causal_conv1d_testing.h"
#include "tests/support/cuda_sequence_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::causal_conv1d_cases;

std::vector<SequenceCase> cases() {
  std::vector<SequenceCase> all = {make_case(1, 1, 1, 1),   make_case(2, 1, 64, 4), make_case(2, 33, 3, 4),
                                   make_case(1, 32, 16, 2), ragged_case(7, 5, 4),   ragged_case(66, 8, 4),
                                   ragged_case(35, 3, 8),   ragged_case(34, 16, 6), make_case(9, 70, 40, 3)};
  all[3].inputs[2] = all[3].inputs[3] = Tensor();  // neither bias nor state
  return all;
}

TEST(CausalConv1dCuda, EqualsF64) {
  for (const SequenceCase& c : cases()) {
    SCOPED_TRACE(describe(c.inputs[0]) + ", weight " + describe(c.inputs[1]));
    expect_cuda_equals_f64(kConvolution, c, Dtype::f32, 1e-6);
    for (const Dtype parameters : {Dtype::f32, Dtype::bf16})
      expect_cuda_equals_f64(convolution(true, parameters), c, Dtype::bf16, 0.01);
  }
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
    expect_cuda_equals_f64(convolution(false), make_case(2, 33, 3, 4), dtype, dtype == Dtype::f32 ? 1e-6 : 0.01);
}

// More runs than the blocks of one partial sum each: a thread has several.
TEST(CausalConv1dCuda, ManySequences) {
  expect_cuda_equals_f64(kConvolution, make_case(270, 3, 4, 4), Dtype::f32, 2e-6);
}

TEST(CausalConv1dCuda, WarpsMayRunInAnyOrder) { expect_same_in_any_warp_order(kConvolution, ragged_case(70, 8, 4)); }

// Padding and what a reset cuts off may hold anything.
TEST(CausalConv1dCuda, HiddenInputsDoNotCount) {
  SequenceCase c = ragged_case(40, 8, 3);
  const std::vector<Tensor> expected = results_and_gradients(kConvolution, c, Dtype::f32, kCuda);
  c.inputs[0] = clone(c.inputs[0]);
  for (int64_t b = 1; b < 4; ++b)
    for (int64_t t = c.lengths.data<int32_t>()[b]; t < 40; ++t)
      for (int64_t k = 0; k < 8; ++k) c.inputs[0].data<double>()[(b * 40 + t) * 8 + k] = std::nan("");
  const std::vector<Tensor> actual = results_and_gradients(kConvolution, c, Dtype::f32, kCuda);
  for (size_t i = 0; i < expected.size(); ++i) expect_equal(actual[i], expected[i]);
}

TEST(CausalConv1dCuda, InfiniteInputsReachKSteps) {
  SequenceCase c = make_case(1, 6, 4, 3);
  for (Tensor& input : c.inputs) input = converted(input, Dtype::f32);
  for (int64_t k = 0; k < 4; ++k) c.inputs[0].data<float>()[4 + k] = INFINITY;  // step 1
  std::vector<Tensor> there;
  for (const Tensor& input : c.inputs) there.push_back(on_cuda(input));
  const Tensor y = on_host(kConvolution.run(there, {}, {})[0]);
  for (int64_t i = 0; i < 6 * 4; ++i) EXPECT_EQ(std::isfinite(y.data<float>()[i]), i < 4 || i >= 16) << i;
}

TEST(CausalConv1dCuda, SlicesOfAProjectionGiveTheSameResult) {
  const SequenceCase c = make_case(2, 5, 32, 4);
  expect_cuda_strides_change_nothing(kConvolution, c);
  std::vector<Tensor> there = inputs_on_cuda(c);
  const Tensor expected = on_host(kConvolution.run(there, {}, {})[0]);
  const Tensor wide = zeros({2, 5, 96});  // a slice that packs fit
  const Tensor slice = wide.with_view(sliced(wide, -1, 32, 64, 1, "slice"));
  copy(slice, c.inputs[0]);
  there[0] = on_cuda_strided(slice);
  expect_equal(on_host(kConvolution.run(there, {}, {})[0]), expected);
}

TEST(CausalConv1dCuda, GradientsAddUpInLeafBuffers) {
  expect_gradients_add_up(kConvolution, make_case(2, 40, 9, 4), kCuda);
}

TEST(CausalConv1dCuda, LengthsOutsideAreTakenAsTheNearest) {
  expect_lengths_clamped(kConvolution, make_case(2, 5, 4, 4));
}

// The bytes of the card.
TEST(CausalConv1dCuda, BytesMovedAreThoseOfTheCard) {
  constexpr double B = 2, T = 64, C = 256, K = 4, runs = 2, parts = 1;
  const SequenceCase c = make_case(B, T, C, K);
  std::vector<Tensor> in;
  for (size_t i = 0; i < 4; ++i)
    in.push_back(on_cuda(converted(c.inputs[i], i == 1 || i == 2 ? Dtype::f32 : Dtype::bf16)));
  const Tensor dy = on_cuda(full({2, 64, 256}, 1, Dtype::bf16));
  const double pass = 2 * B * T * C, state = 2 * B * (K - 1) * C, halo = 2 * B * (runs - 1) * (K - 1) * C;
  const double weights = 4 * (K + 1) * C * B * runs / 4;
  expect_bytes_moved("conv::forward_kernel", pass + state + halo + weights, pass + state,
                     [&] { kConvolution.run(in, {}, {}); });
  set_requires_grad(in[0]), set_requires_grad(in[1]);
  expect_bytes_moved("conv::backward_kernel", 2 * pass + state + 3 * halo + weights, pass + parts * 4 * (K + 1) * C,
                     [&] {
                       const Tensor y = kConvolution.run(in, {}, {})[0];
                       backward(std::span(&y, 1), std::span(&dy, 1));
                     });
}

TEST(CausalConv1dCuda, Errors) {
  const SequenceCase c = make_case(1, 2, 4, 4);
  std::vector<Tensor> there;
  for (const Tensor& x : c.inputs) there.push_back(on_cuda(x));
  expect_error([&] { kConvolution.run(there, {}, {}); }, {"causal_conv1d: on CUDA x must be f32 or bf16", "f64"});
}

}  // namespace
}  // namespace vigor
