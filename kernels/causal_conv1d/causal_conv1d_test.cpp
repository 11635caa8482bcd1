#include "kernels/causal_conv1d/causal_conv1d.h"

#include <gtest/gtest.h>

#include "kernels/causal_conv1d/causal_conv1d_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::causal_conv1d_cases;

// A window of the last K-1 inputs goes along each channel, one number at a time.
std::vector<Tensor> definition(const SequenceCase& c, bool silu) {
  const auto value = [&](size_t input, int64_t i) { return c.inputs[input].data<double>()[i]; };
  const int64_t B = c.inputs[0].size(0), T = c.inputs[0].size(1), C = c.inputs[0].size(2), K = c.inputs[1].size(-1);
  std::vector<Tensor> out = {zeros({B, T, C}, Dtype::f64), zeros({B, K - 1, C}, Dtype::f64)};
  for (int64_t b = 0; b < B; ++b)
    for (int64_t channel = 0; channel < C; ++channel) {
      std::vector<double> window;
      for (int64_t k = 0; k < K - 1; ++k) window.push_back(value(3, (b * (K - 1) + k) * C + channel));
      const int64_t length = c.lengths.defined() ? c.lengths.data<int32_t>()[b] : T;
      for (int64_t t = 0; t < length; ++t) {
        const int64_t i = (b * T + t) * C + channel;
        if (c.resets.defined() && c.resets.data<uint8_t>()[b * T + t] != 0) window.assign(window.size(), 0);
        window.push_back(value(0, i));
        double p = value(2, channel);
        for (int64_t k = 0; k < K; ++k) p += value(1, channel * K + k) * window[static_cast<size_t>(k)];
        out[0].data<double>()[i] = silu ? p / (1 + std::exp(-p)) : p;
        window.erase(window.begin());
      }
      for (int64_t k = 0; k < K - 1; ++k)
        out[1].data<double>()[(b * (K - 1) + k) * C + channel] = window[static_cast<size_t>(k)];
    }
  return out;
}

std::vector<SequenceCase> small_cases() {
  return {make_case(1, 1, 1, 1), make_case(2, 5, 3, 4), make_case(2, 2, 3, 4),
          make_case(1, 1, 4, 4), make_case(2, 6, 2, 2), make_case(1, 9, 2, 8),
          ragged_case(7, 3, 4),  ragged_case(3, 2, 4),  ragged_case(2, 2, 8)};
}

std::string sizes_of(const SequenceCase& c) { return describe(c.inputs[0]) + ", weight " + describe(c.inputs[1]); }

TEST(CausalConv1d, OneChannelByHand) {
  const Tensor x = set_requires_grad(from_values(std::vector<double>{1, 2, 3}, {1, 3, 1}));
  const Tensor weight = set_requires_grad(from_values(std::vector<double>{10, 1}, {1, 2}));
  const Tensor bias = from_values(std::vector<double>{0.5}, {1}),
               state = from_values(std::vector<double>{4}, {1, 1, 1});
  CausalConv1dOptions options;
  options.state = state;
  options.silu = false;
  const CausalConv1dResult r = causal_conv1d(x, weight, bias, options);
  expect_values(r.y, {41.5, 12.5, 23.5}, 1e-15);
  expect_values(r.last_state, {3});
  const Tensor dy = from_values(std::vector<double>{1, 1, 1}, {1, 3, 1});
  backward(std::span(&r.y, 1), std::span(&dy, 1));
  expect_values(grad(x), {11, 11, 1});
  expect_values(grad(weight), {4 + 1 + 2, 1 + 2 + 3});
  // From zeros, with SiLU: 1, 2, 3 by the last tap alone.
  const Tensor last_tap = from_values(std::vector<double>{0, 1}, {1, 2});
  expect_values(causal_conv1d(x, last_tap, {}).y,
                {1 / (1 + std::exp(-1)), 2 / (1 + std::exp(-2)), 3 / (1 + std::exp(-3))}, 1e-15);
}

TEST(CausalConv1d, EqualsDefinition) {
  for (const bool silu : {true, false})
    for (const SequenceCase& c : small_cases()) {
      SCOPED_TRACE(sizes_of(c));
      const std::vector<Tensor> expected = definition(c, silu);
      const std::vector<Tensor> actual = convolution(silu).run(c.inputs, c.lengths, c.resets);
      for (size_t i = 0; i < 2; ++i) expect_close(actual[i], expected[i], 1e-13);
    }
}

TEST(CausalConv1d, Gradients) {
  for (const SequenceCase& c : small_cases()) {
    SCOPED_TRACE(sizes_of(c));
    expect_sequence_gradients(kConvolution, c);
  }
  expect_sequence_gradients(convolution(false), make_case(2, 5, 3, 4));
  SequenceCase strided = ragged_case(5, 3, 4);
  for (Tensor& input : strided.inputs) input = transposed_storage(input);
  expect_sequence_gradients(kConvolution, strided);
  SequenceCase bare = make_case(2, 5, 3, 4);  // neither bias nor state
  bare.inputs[2] = bare.inputs[3] = Tensor();
  expect_sequence_gradients(kConvolution, bare);
}

TEST(CausalConv1d, GradientOfTheLastStateAlone) {
  const SequenceCase c = ragged_case(5, 2, 4);
  expect_gradients([&](std::span<const Tensor> in) { return kConvolution.run(in, c.lengths, c.resets)[1]; }, c.inputs);
}

TEST(CausalConv1d, SplitCallsEqualOneCall) { expect_pieces_equal_whole(kConvolution, make_case(2, 7, 17, 4)); }

TEST(CausalConv1d, PaddingDoesNotCount) { expect_padding_is_identity(kConvolution, ragged_case(6, 9, 4)); }

TEST(CausalConv1d, FastEqualsF64OnEveryInstructionSet) {
  std::vector<SequenceCase> cases = small_cases();
  cases.push_back(make_case(2, 40, 300, 4));  // two blocks of channels
  cases.push_back(make_case(3, 1, 128, 4));
  cases.push_back(ragged_case(20, 77, 4));
  cases.push_back(ragged_case(20, 33, 7));
  for (const SequenceCase& c : cases) {
    SCOPED_TRACE(sizes_of(c));
    expect_fast_equals_f64(kConvolution, c, Dtype::f32, 1e-6);
  }
  expect_fast_equals_f64(convolution(false), make_case(2, 5, 3, 4), Dtype::f32, 1e-6);
}

TEST(CausalConv1d, Bf16WithParametersOfEitherType) {
  for (const Dtype parameters : {Dtype::bf16, Dtype::f32})
    expect_fast_equals_f64(convolution(true, parameters), ragged_case(12, 40, 4), Dtype::bf16, 0.01);
}

TEST(CausalConv1d, SlicesOfAProjectionGiveTheSameResult) {
  expect_strides_change_nothing(kConvolution, make_case(2, 5, 33, 4));
}

TEST(CausalConv1d, GradientsAddUpInLeafBuffers) { expect_gradients_add_up(kConvolution, make_case(2, 5, 9, 4)); }

TEST(CausalConv1d, Errors) {
  const Tensor x = random({2, 3, 4}), weight = random({4, 1, 4}), bias = random({4});
  const auto with = [&](const CausalConv1dOptions& options) { causal_conv1d(x, weight, bias, options); };
  expect_error([&] { causal_conv1d(random({3, 4}), weight, bias); }, {"causal_conv1d: x must be [B,T,C]", "[3,4] f32"});
  expect_error(
      [&] {
        causal_conv1d(x, random({4, 4, 1}), bias);
      },
      {"causal_conv1d: weight must be [C,1,K] or [C,K] with C=4", "[4,4,1]", "[2,3,4]"});
  expect_error([&] { causal_conv1d(x, random({4, 9}), bias); }, {"K from 1 to 8", "[4,9]"});
  expect_error([&] { causal_conv1d(x, random({4, 4}, Dtype::f64), bias); }, {"in the dtype of x", "f64"});
  expect_error([&] { causal_conv1d(x, weight, random({3})); }, {"causal_conv1d: bias must be [C]=[4] f32", "[3]"});
  expect_error([&] { with({random({2, 4, 4}), {}, {}}); }, {"causal_conv1d: state must be [B,K-1,C]=[2,3,4] f32"});
  expect_error(
      [&] {
        with({{}, from_values(std::vector<int32_t>{3, 4}, {2}), {}});
      },
      {"causal_conv1d: lengths must be in 0 .. T=3", "lengths[1] is 4"});
  expect_error([&] { with({{}, {}, zeros({2, 4}, Dtype::u8)}); }, {"causal_conv1d: resets must be [B,T]=[2,3] u8"});
}

}  // namespace
}  // namespace vigor
