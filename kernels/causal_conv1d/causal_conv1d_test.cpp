#include "kernels/causal_conv1d/causal_conv1d.h"

#include <gtest/gtest.h>

#include "kernels/causal_conv1d/causal_conv1d_testing.h"
#include "tensor/simd.h"

namespace vigor {
namespace {

using namespace testing::causal_conv1d_cases;

using testing::expect_close;
using testing::expect_equal;
using testing::expect_error;
using testing::expect_gradients;
using testing::random;

// A window of the last K-1 inputs goes along each channel, one number at a time.
std::vector<Tensor> definition(const Case& c) {
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
        out[0].data<double>()[i] = c.silu ? p / (1 + std::exp(-p)) : p;
        window.erase(window.begin());
      }
      for (int64_t k = 0; k < K - 1; ++k)
        out[1].data<double>()[(b * (K - 1) + k) * C + channel] = window[static_cast<size_t>(k)];
    }
  return out;
}

Tensor steps(const Tensor& x, int64_t start, int64_t end) { return x.with_view(sliced(x, 1, start, end, 1, "steps")); }

std::vector<Case> small_cases() {
  std::vector<Case> cases = {make_case(1, 1, 1, 1), make_case(2, 5, 3, 4), make_case(2, 2, 3, 4),
                             make_case(1, 1, 4, 4), make_case(2, 6, 2, 2), make_case(1, 9, 2, 8),
                             ragged_case(7, 3, 4),  ragged_case(3, 2, 4),  ragged_case(2, 2, 8)};
  cases[1].silu = false;
  return cases;
}

TEST(CausalConv1d, OneChannelByHand) {
  const Tensor x = set_requires_grad(from_values(std::vector<double>{1, 2, 3}, {1, 3, 1}));
  const Tensor weight = set_requires_grad(from_values(std::vector<double>{10, 1}, {1, 2}));
  const Tensor bias = from_values(std::vector<double>{0.5}, {1}),
               state = from_values(std::vector<double>{4}, {1, 1, 1});
  CausalConv1dOptions options;
  options.state = state;
  options.silu = false;
  const CausalConv1dResult r = causal_conv1d(x, weight, bias, options);
  testing::expect_values(r.y, {41.5, 12.5, 23.5}, 1e-15);
  testing::expect_values(r.last_state, {3});
  const Tensor dy = from_values(std::vector<double>{1, 1, 1}, {1, 3, 1});
  backward(std::span(&r.y, 1), std::span(&dy, 1));
  testing::expect_values(grad(x), {11, 11, 1});
  testing::expect_values(grad(weight), {4 + 1 + 2, 1 + 2 + 3});
  // From zeros, with SiLU: 1, 2, 3 by the last tap alone.
  const Tensor last_tap = from_values(std::vector<double>{0, 1}, {1, 2});
  testing::expect_values(causal_conv1d(x, last_tap, {}).y,
                         {1 / (1 + std::exp(-1)), 2 / (1 + std::exp(-2)), 3 / (1 + std::exp(-3))}, 1e-15);
}

TEST(CausalConv1d, EqualsDefinition) {
  for (const Case& c : small_cases()) {
    SCOPED_TRACE(describe(c.inputs[0]) + ", weight " + describe(c.inputs[1]));
    const std::vector<Tensor> expected = definition(c), actual = run(c, c.inputs);
    for (size_t i = 0; i < 2; ++i) expect_close(actual[i], expected[i], 1e-13);
  }
}

TEST(CausalConv1d, Gradients) {
  const auto check_case = [](const Case& c) {
    SCOPED_TRACE(describe(c.inputs[0]) + ", weight " + describe(c.inputs[1]));
    expect_gradients(TensorFunction([&c](std::span<const Tensor> in) { return run(c, in); }), c.inputs);
  };
  for (const Case& c : small_cases()) check_case(c);
  Case strided = ragged_case(5, 3, 4);
  for (Tensor& input : strided.inputs) input = testing::transposed_storage(input);
  check_case(strided);
  Case bare = make_case(2, 5, 3, 4);  // neither bias nor state
  bare.inputs[2] = bare.inputs[3] = Tensor();
  check_case(bare);
}

TEST(CausalConv1d, GradientOfTheLastStateAlone) {
  const Case c = ragged_case(5, 2, 4);
  expect_gradients(TensorFunction([&](std::span<const Tensor> in) { return std::vector<Tensor>{run(c, in)[1]}; }),
                   {c.inputs[0], c.inputs[1], c.inputs[2], c.inputs[3]});
}

// Two calls joined by their state, or one step at a time, are one call: values and gradients.
TEST(CausalConv1d, SplitCallsEqualOneCall) {
  const int64_t T = 7;
  Case c = make_case(2, T, 17, 4);
  std::vector<uint8_t> resets(2 * T, 0);
  resets[2] = resets[T + 3] = 1;
  c.resets = from_values(resets, {2, T});
  const std::vector<Tensor> whole = results_and_gradients(c, Dtype::f64, Dtype::f64);
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{3, 4}, std::vector<int64_t>{1, 1, 1, 1, 1, 1, 1}}) {
    std::vector<Tensor> in, xs, roots, up;
    for (const Tensor& input : c.inputs) in.push_back(set_requires_grad(clone(input)));
    std::vector<Tensor> step = in;
    int64_t t = 0;
    for (const int64_t length : lengths) {
      Case part = c;
      part.resets = steps(c.resets, t, t + length);
      step[0] = set_requires_grad(clone(steps(c.inputs[0], t, t + length)));
      const std::vector<Tensor> r = run(part, step);
      expect_close(r[0], steps(whole[0], t, t + length), 1e-13);
      xs.push_back(step[0]);
      roots.push_back(r[0]);
      up.push_back(steps(output_gradient(whole[0]), t, t + length));
      step[3] = r[1];
      t += length;
    }
    expect_equal(step[3], whole[1]);
    roots.push_back(step[3]);
    up.push_back(output_gradient(step[3]));
    backward(roots, up);
    t = 0;
    for (const Tensor& x : xs) {
      expect_close(grad(x), steps(whole[2], t, t + x.size(1)), 1e-13);
      t += x.size(1);
    }
    for (size_t i = 1; i < 4; ++i) expect_close(grad(in[i]), whole[2 + i], 1e-12);
  }
}

// What stands in the padding changes nothing, and nothing comes back there.
TEST(CausalConv1d, PaddingDoesNotCount) {
  const Case c = ragged_case(6, 9, 4);
  Case other = c;
  other.inputs[0] = clone(c.inputs[0]);
  for (int64_t b = 0; b < 4; ++b)
    for (int64_t t = c.lengths.data<int32_t>()[b]; t < 6; ++t)
      for (int64_t k = 0; k < 9; ++k) other.inputs[0].data<double>()[(b * 6 + t) * 9 + k] = std::nan("");
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const std::vector<Tensor> expected = results_and_gradients(c, dtype, dtype);
    const std::vector<Tensor> actual = results_and_gradients(other, dtype, dtype);
    for (size_t i = 0; i < expected.size(); ++i) expect_equal(actual[i], expected[i]);
    for (const size_t i : {size_t{0}, size_t{2}})  // y and dx
      for (int64_t b = 0; b < 4; ++b)
        for (int64_t t = c.lengths.data<int32_t>()[b]; t < 6; ++t)
          for (int64_t k = 0; k < 9; ++k) EXPECT_EQ(expected[i].to_vector<double>()[(b * 6 + t) * 9 + k], 0);
  }
}

TEST(CausalConv1d, FastEqualsF64OnEveryInstructionSet) {
  std::vector<Case> cases = small_cases();
  cases.push_back(make_case(2, 40, 300, 4));  // two blocks of channels
  cases.push_back(make_case(3, 1, 128, 4));
  cases.push_back(ragged_case(20, 77, 4));
  cases.push_back(ragged_case(20, 33, 7));
  for (const Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    const IsaScope scope(isa);
    for (const Case& c : cases) {
      SCOPED_TRACE(describe(c.inputs[0]) + ", weight " + describe(c.inputs[1]));
      const Case exact = rounded(c, Dtype::f32, Dtype::f32);
      const std::vector<Tensor> expected = results_and_gradients(exact, Dtype::f64, Dtype::f64);
      const std::vector<Tensor> actual = results_and_gradients(exact, Dtype::f32, Dtype::f32);
      for (size_t i = 0; i < expected.size(); ++i) expect_near_largest(actual[i], expected[i], 1e-6);
    }
  }
}

TEST(CausalConv1d, Bf16WithParametersOfEitherType) {
  for (const Dtype parameters : {Dtype::bf16, Dtype::f32}) {
    const Case c = rounded(ragged_case(12, 40, 4), Dtype::bf16, parameters);
    const std::vector<Tensor> expected = results_and_gradients(c, Dtype::f64, Dtype::f64);
    const std::vector<Tensor> actual = results_and_gradients(c, Dtype::bf16, parameters);
    EXPECT_EQ(actual[0].dtype(), Dtype::bf16);
    EXPECT_EQ(actual[3].dtype(), parameters);
    for (size_t i = 0; i < expected.size(); ++i) expect_near_largest(actual[i], expected[i], 0.01);
  }
}

TEST(CausalConv1d, SlicesOfAProjectionGiveTheSameResult) {
  const Case c = rounded(make_case(2, 5, 33, 4), Dtype::f32, Dtype::f32);
  Case f32 = c;
  for (Tensor& input : f32.inputs) input = testing::converted(input, Dtype::f32);
  const std::vector<Tensor> expected = run(f32, f32.inputs);
  for (const Tensor& x : testing::strided_variants(f32.inputs[0])) {
    std::vector<Tensor> in = f32.inputs;
    in[0] = x;
    const std::vector<Tensor> actual = run(f32, in);
    for (size_t i = 0; i < 2; ++i) expect_equal(actual[i], expected[i]);
  }
}

TEST(CausalConv1d, GradientsAddUpInLeafBuffers) {
  std::vector<Tensor> in;
  const Case c = make_case(2, 5, 9, 4);
  for (const Tensor& input : c.inputs) {
    in.push_back(set_requires_grad(testing::converted(input, Dtype::f32)));
    set_grad_buffer(in.back(), full(input.shape(), 99));  // old numbers that count as zero
  }
  const auto once = [&] {
    const std::vector<Tensor> out = run(c, in), up = {output_gradient(out[0]), output_gradient(out[1])};
    backward(out, up);
  };
  once();
  std::vector<Tensor> first;
  for (const Tensor& x : in) first.push_back(clone(grad(x)));
  once();
  for (size_t i = 0; i < in.size(); ++i) {
    std::vector<double> twice = first[i].to_vector<double>();
    for (double& v : twice) v *= 2;
    testing::expect_values(grad(in[i]), twice, 1e-5);
  }
}

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
