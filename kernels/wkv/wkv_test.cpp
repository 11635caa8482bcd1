#include "kernels/wkv/wkv.h"

#include <gtest/gtest.h>

#include "kernels/elementwise/elementwise.h"
#include "kernels/views/views.h"
#include "kernels/wkv/wkv_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::wkv_cases;

TEST(Wkv, ByHand) {
  // w = -1, u = ln 2; both keys 0: weights 2 for the token itself, 1 for the one before.
  const Tensor zero = zeros({1}, Dtype::f64);
  const WkvResult r = wkv(zeros({1, 3, 1}, Dtype::f64), from_values(std::vector<double>{3, 6, 0}, {1, 3, 1}), zero,
                          full({1}, std::log(2.0), Dtype::f64));
  const double e = std::exp(-1.0);
  expect_values(r.y, {3, (3 + 12) / 3.0, (3 * e + 6) / (e + 1 + 2)}, 1e-15);
  expect_values(r.last_state, {3 * e * e + 6 * e, e * e + e + 1, 0}, 1e-15);
}

// The sums of the definition, term by term, for a sequence that has not begun.
TEST(Wkv, EqualsTheWeightedAverage) {
  SequenceCase c = make_case(2, 40, 5);
  c.inputs[4] = Tensor();
  const std::vector<Tensor> out = kWkv.run(c.inputs, {}, {});
  const auto at = [&](size_t input, int64_t b, int64_t t, int64_t channel) {
    return c.inputs[input].data<double>()[(b * 40 + t) * 5 + channel];
  };
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t t = 0; t < 40; ++t)
      for (int64_t channel = 0; channel < 5; ++channel) {
        const double w = -std::exp(c.inputs[2].data<double>()[channel]), u = c.inputs[3].data<double>()[channel];
        double above = std::exp(u + at(0, b, t, channel)) * at(1, b, t, channel);
        double below = std::exp(u + at(0, b, t, channel));
        for (int64_t i = 0; i < t; ++i) {
          const double weight = std::exp(static_cast<double>(t - 1 - i) * w + at(0, b, i, channel));
          above += weight * at(1, b, i, channel);
          below += weight;
        }
        EXPECT_NEAR(out[0].data<double>()[(b * 40 + t) * 5 + channel], above / below, 1e-12);
      }
}

// Through all three numbers of the states, in and out.
TEST(Wkv, Gradients) {
  for (SequenceCase c : {make_case(1, 1, 1), make_case(2, 3, 5), make_case(1, 35, 2), ragged(make_case(4, 6, 3))}) {
    expect_sequence_gradients(kWkv, c);
    c.inputs[4] = Tensor();
    if (c.lengths.defined()) c.lengths = from_values(std::vector<int32_t>{6, 3, 1, 2}, {4});  // all p are finite
    expect_sequence_gradients(kWkv, c);
  }
}

// p is a scale: a e^p and b e^p are all that counts, so the gradients of a state satisfy dp = a da + b db, and another
// scale of the same state changes neither y nor any gradient of an input.
TEST(Wkv, TheStateIsKnownUpToItsScale) {
  SequenceCase c = make_case(2, 5, 3);
  const auto inputs_and_y = [&](const Tensor& state) {
    std::vector<Tensor> in;
    for (const Tensor& x : c.inputs) in.push_back(set_requires_grad(clone(x)));
    in[4] = set_requires_grad(clone(state));
    const Tensor y = kWkv.run(in, {}, {})[0], dy = output_gradient(y);
    backward(std::span(&y, 1), std::span(&dy, 1));
    in.push_back(y);
    return in;
  };
  const Tensor scaled = clone(c.inputs[4]);
  for (int64_t i = 0; i < 18; ++i)
    if (i / 3 % 3 == 2) scaled.data<double>()[i] += 0.5;
    else scaled.data<double>()[i] *= std::exp(-0.5);
  const std::vector<Tensor> first = inputs_and_y(c.inputs[4]), second = inputs_and_y(scaled);
  expect_close(second[5], first[5], 1e-14);
  for (size_t i = 0; i < 4; ++i) expect_close(grad(second[i]), grad(first[i]), 1e-13);
  const double *s = c.inputs[4].data<double>(), *ds = grad(first[4]).data<double>();
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t i = b * 9; i < b * 9 + 3; ++i) EXPECT_NEAR(ds[i + 6], s[i] * ds[i] + s[i + 3] * ds[i + 3], 1e-14);
}

TEST(Wkv, FastEqualsF64OnEveryInstructionSet) {
  for (const SequenceCase& c :
       {make_case(2, 1, 1), make_case(2, 3, 17), make_case(1, 70, 130), ragged(make_case(4, 70, 40))}) {
    expect_fast_equals_f64(kWkv, c, Dtype::f32, 2e-5);
    expect_fast_equals_f64(kWkv, c, Dtype::bf16, 0.02);
  }
}

// Keys far outside the range of e^k in f32, fast and slow decays.
TEST(Wkv, LargeKeysNeitherOverflowNorVanish) {
  SequenceCase c = make_case(1, 70, 33);
  fill_uniform(c.inputs[0], -300, 300, {7, RandomStream::init, 8, 0});
  fill_uniform(c.inputs[2], -8, 5, {7, RandomStream::init, 9, 0});
  c.inputs[4] = Tensor();
  // p is rounded to 3e-5 where it is 300, at every step.
  expect_fast_equals_f64(kWkv, c, Dtype::f32, 1e-3);
}

TEST(Wkv, PiecesEqualTheWhole) { expect_pieces_equal_whole(kWkv, make_case(3, 7, 5)); }
TEST(Wkv, PaddingIsTheIdentity) { expect_padding_is_identity(kWkv, ragged(make_case(4, 6, 9))); }
TEST(Wkv, StridesChangeNothing) { expect_strides_change_nothing(kWkv, ragged(make_case(4, 6, 33))); }
TEST(Wkv, GradientsAddUp) { expect_gradients_add_up(kWkv, make_case(2, 40, 9)); }

TEST(Wkv, Errors) {
  const Tensor k = zeros({2, 3, 4}), w = zeros({4});
  expect_error([&] { wkv(zeros({3, 4}), k, w, w); }, {"wkv: k must be [B,T,C]", "[3,4] f32"});
  expect_error([&] { wkv(k, zeros({2, 3, 5}), w, w); }, {"wkv: v must be [B,T,C]=[2,3,4] f32", "[2,3,5] f32"});
  expect_error([&] { wkv(k, k, w, zeros({1})); }, {"wkv: time_first must be [C]=[4]", "[1] f32"});
  expect_error([&] { wkv(k, k, w, w, {zeros({2, 4}), {}, {}}); }, {"wkv: state must be [B,3,C]=[2,3,4]", "[2,4]"});
  expect_error(
      [&] {
        wkv(k, k, w, w, {{}, from_values(std::vector<int32_t>{-1, 3}, {2}), {}});
      },
      {"wkv: lengths must be in 0 .. T=3", "lengths[0] is -1"});
}

}  // namespace
}  // namespace vigor
