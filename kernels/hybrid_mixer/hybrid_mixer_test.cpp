#include "kernels/hybrid_mixer/hybrid_mixer.h"

#include <gtest/gtest.h>

#include "kernels/hybrid_mixer/hybrid_mixer_testing.h"
#include "tensor/safetensors.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::hybrid_mixer_cases;

// The equations, one number at a time.
std::vector<Tensor> definition(const SequenceCase& c) {
  const auto value = [&](size_t input, int64_t i) { return c.inputs[input].data<double>()[i]; };
  const Tensor& x = c.inputs[0];
  const int64_t B = x.size(0), T = x.size(1), d = x.size(2), n = c.inputs[2].size(0);
  std::vector<Tensor> out = {zeros({B, T, d}, Dtype::f64), zeros({B, d}, Dtype::f64), zeros({B, n}, Dtype::f64)};
  for (int64_t b = 0; b < B; ++b) {
    std::vector<double> h, s;
    for (int64_t k = 0; k < d; ++k) h.push_back(value(6, b * d + k));
    for (int64_t i = 0; i < n; ++i) s.push_back(value(7, b * n + i));
    const int64_t length = c.lengths.defined() ? c.lengths.data<int32_t>()[b] : T;
    for (int64_t t = 0; t < length; ++t) {
      if (c.resets.defined() && c.resets.data<uint8_t>()[b * T + t] != 0) {
        h.assign(h.size(), 0);
        s.assign(s.size(), 0);
      }
      const auto x_t = [&](int64_t k) { return value(0, (b * T + t) * d + k); };
      std::vector<double> s_new(s.size(), 0);
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) s_new[i] += value(2, i * n + j) * s[j];
        for (int64_t k = 0; k < d; ++k) s_new[i] += value(3, i * d + k) * x_t(k);
      }
      s = s_new;
      for (int64_t k = 0; k < d; ++k) {
        h[k] = value(1, k) * h[k] + (1 - value(1, k)) * x_t(k);
        double& y = out[0].data<double>()[(b * T + t) * d + k];
        y = value(5, k) * h[k];
        for (int64_t i = 0; i < n; ++i) y += value(4, k * n + i) * s[i];
      }
    }
    std::copy(h.begin(), h.end(), out[1].data<double>() + b * d);
    std::copy(s.begin(), s.end(), out[2].data<double>() + b * n);
  }
  return out;
}

TEST(HybridMixer, OneChannelOneStateByHand) {
  const auto one = [](double v) { return full({1}, v, Dtype::f64); };
  const HybridMixerResult r =
      hybrid_mixer(from_values(std::vector<double>{1, 2}, {1, 2, 1}), one(0.5), full({1, 1}, 0.5, Dtype::f64),
                   full({1, 1}, 2, Dtype::f64), full({1, 1}, 3, Dtype::f64), one(10));
  // h: 0.5, 1.25; s: 2, 5; y = 3 s + 10 h
  expect_values(r.y, {11, 27.5}, 1e-15);
  expect_values(r.h_last, {1.25}, 1e-15);
  expect_values(r.s_last, {5}, 1e-15);
}

TEST(HybridMixer, EqualsDefinition) {
  std::vector<SequenceCase> cases;
  for (const int64_t size : {1, 3, 17, 33}) cases.push_back(make_case(2, size, size + 1, size));
  cases.push_back(ragged_case(17, 33, 3));
  for (const SequenceCase& c : cases) {
    const std::vector<Tensor> expected = definition(c), actual = as_vector(run(c.inputs, c.lengths, c.resets));
    for (size_t i = 0; i < 3; ++i) expect_close(actual[i], expected[i], 1e-12, 1e-12);
  }
}

TEST(HybridMixer, EqualsPyTorch) {
  const SafetensorsFile file = SafetensorsFile::open(VIGOR_SOURCE_DIR "/tests/fixtures/ops/hybrid_mixer.safetensors");
  const std::vector<std::string> names = {"x", "w_mix", "A", "B", "C", "D", "h0", "s0"};
  std::vector<Tensor> in;
  for (const std::string& name : names) in.push_back(set_requires_grad(clone(file.tensor(name))));
  const std::vector<Tensor> out = as_vector(run(in));
  const std::vector<Tensor> up = {file.tensor("dy"), file.tensor("dhT"), file.tensor("dsT")};
  const std::vector<std::string> out_names = {"y", "hT", "sT"};
  for (size_t i = 0; i < 3; ++i) expect_close(out[i], file.tensor(out_names[i]), 1e-5, 1e-5);
  backward(out, up);
  for (size_t i = 0; i < names.size(); ++i) expect_close(grad(in[i]), file.tensor("d" + names[i]), 1e-4, 1e-5);
}

TEST(HybridMixer, Gradients) {
  std::vector<SequenceCase> cases = {make_case(1, 1, 1, 1),  make_case(2, 3, 17, 3), make_case(1, 17, 3, 17),
                                     make_case(1, 2, 3, 33), make_case(2, 33, 2, 2), ragged_case(6, 5, 3)};
  for (const SequenceCase& c : cases) expect_sequence_gradients(kHybridMixer, c);
  // Strided inputs, and no initial state.
  SequenceCase strided = make_case(2, 3, 4, 3);
  for (Tensor& input : strided.inputs) input = transposed_storage(input);
  expect_sequence_gradients(kHybridMixer, strided);
  SequenceCase from_zero = make_case(2, 5, 4, 3);
  from_zero.inputs[6] = from_zero.inputs[7] = Tensor();
  expect_sequence_gradients(kHybridMixer, from_zero);
}

TEST(HybridMixer, GradientOfTheFinalStatesAlone) {
  const SequenceCase c = ragged_case(5, 4, 3);
  expect_gradients(TensorFunction([&](std::span<const Tensor> in) {
                     const HybridMixerResult r = run(in, c.lengths, c.resets);
                     return std::vector<Tensor>{r.h_last, r.s_last};
                   }),
                   c.inputs);
}

TEST(HybridMixer, StridedInputsGiveTheSameResult) {
  expect_strides_change_nothing(kHybridMixer, make_case(2, 5, 33, 3));
}

TEST(HybridMixer, SplitScansEqualOneScan) { expect_pieces_equal_whole(kHybridMixer, make_case(3, 7, 17, 5)); }

TEST(HybridMixer, PaddingIsTheIdentity) { expect_padding_is_identity(kHybridMixer, ragged_case(6, 9, 3)); }

TEST(HybridMixer, FastEqualsF64OnEveryInstructionSet) {
  std::vector<SequenceCase> cases;
  for (const int64_t size : {1, 3, 17, 33}) cases.push_back(make_case(2, size, size, 5));
  cases.push_back(make_case(2, 40, 200, 32));
  cases.push_back(make_case(3, 1, 128, 33));
  cases.push_back(ragged_case(20, 77, 9));
  for (const SequenceCase& c : cases) expect_fast_equals_f64(kHybridMixer, c, Dtype::f32, 1e-5);
}

// y and dx are rounded twice to 8 bits.
TEST(HybridMixer, Bf16ActivationsBesideF32States) {
  expect_fast_equals_f64(kHybridMixer, ragged_case(12, 40, 8), Dtype::bf16, 0.012);
}

TEST(HybridMixer, GradientsAddUpInLeafBuffers) { expect_gradients_add_up(kHybridMixer, make_case(2, 5, 9, 3)); }

// Two gradients of one tensor, one buffer: both count, on the first pass and on the second.
TEST(HybridMixer, OneTensorMayBeBothWMixAndD) {
  const SequenceCase c = make_case(2, 5, 9, 9, Dtype::f32);
  std::vector<Tensor> in = c.inputs;
  const auto backward_of = [&](const std::vector<Tensor>& inputs) {
    const Tensor y = run(inputs).y, up = full(y.shape(), 1);
    backward(std::span(&y, 1), std::span(&up, 1));
  };
  in[5] = clone(in[1]);  // apart
  in[4] = clone(in[3]);
  for (const size_t i : {1, 3, 4, 5}) set_requires_grad(in[i]);
  backward_of(in);
  std::vector<double> expected = grad(in[1]).to_vector<double>(), expected_b = grad(in[3]).to_vector<double>();
  for (size_t i = 0; i < expected.size(); ++i) expected[i] += grad(in[5]).to_vector<double>()[i];
  for (size_t i = 0; i < expected_b.size(); ++i) expected_b[i] += grad(in[4]).to_vector<double>()[i];
  in[1] = in[5] = set_requires_grad(clone(c.inputs[1]));
  in[3] = in[4] = set_requires_grad(clone(c.inputs[3]));  // n = d: B and C too
  for (const size_t i : {1, 3}) set_grad_buffer(in[i], full(in[i].shape(), 99));
  for (int pass = 1; pass <= 2; ++pass) {
    backward_of(in);
    expect_values(grad(in[1]), expected, 1e-5 * pass);
    expect_values(grad(in[3]), expected_b, 1e-5 * pass);
    for (double& v : expected) v *= 2;
    for (double& v : expected_b) v *= 2;
  }
}

TEST(HybridMixer, Errors) {
  SequenceCase c = make_case(2, 3, 4, 5, Dtype::f32);
  const auto with = [&](size_t input, const Tensor& value) {
    std::vector<Tensor> in = c.inputs;
    in[input] = value;
    run(in);
  };
  expect_error([&] { with(0, random({3, 4})); }, {"hybrid_mixer: x must be [B,T,d]", "[3,4] f32"});
  expect_error([&] { with(3, random({4, 5})); }, {"hybrid_mixer: B must be [n,d]=[5,4]", "[4,5] f32", "[2,3,4]"});
  expect_error([&] { with(2, random({5, 4})); }, {"hybrid_mixer: A must be [n,n]=[5,5]", "[5,4]"});
  expect_error([&] { with(6, random({2, 4}, Dtype::f64)); }, {"hybrid_mixer: h0 must be [B,d]=[2,4] f32", "f64"});
  expect_error([&] { with(5, Tensor()); }, {"hybrid_mixer: D must be [d]=[4] f32", "undefined"});
  expect_error(
      [&] {
        run(c.inputs, from_values(std::vector<int32_t>{3, 4}, {2}));
      },
      {"hybrid_mixer: lengths must be in 0 .. T=3", "lengths[1] is 4"});
  expect_error([&] { run(c.inputs, {}, zeros({2, 4}, Dtype::u8)); }, {"hybrid_mixer: resets must be [B,T]=[2,3] u8"});
}

}  // namespace
}  // namespace vigor
