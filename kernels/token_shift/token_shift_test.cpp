#include "kernels/token_shift/token_shift.h"

#include <gtest/gtest.h>

#include "kernels/token_shift/token_shift_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::token_shift_cases;

TEST(TokenShift, ByHand) {
  const Tensor x = from_values(std::vector<double>{1, 2, 4}, {1, 3, 1}), mix = full({1}, 0.75, Dtype::f64);
  TokenShiftResult r = token_shift(x, mix);
  expect_values(r.y, {0.75, 1.75, 3.5});
  expect_values(r.last_state, {4});
  TokenShiftOptions options;
  options.state = full({1, 1}, 8, Dtype::f64);
  options.resets = from_values(std::vector<uint8_t>{0, 0, 1}, {1, 3});
  r = token_shift(x, mix, options);
  expect_values(r.y, {2.75, 1.75, 3});
}

TEST(TokenShift, EqualsDefinition) {
  for (const SequenceCase& c : {make_case(2, 70, 3), ragged(make_case(4, 9, 5))}) {
    const int64_t B = c.inputs[0].size(0), T = c.inputs[0].size(1), C = c.inputs[0].size(2);
    const std::vector<Tensor> out = kTokenShift.run(c.inputs, c.lengths, c.resets);
    for (int64_t b = 0; b < B; ++b)
      for (int64_t channel = 0; channel < C; ++channel) {
        const double mix = c.inputs[1].data<double>()[channel];
        double before = c.inputs[2].data<double>()[b * C + channel];
        const int64_t length = c.lengths.defined() ? c.lengths.data<int32_t>()[b] : T;
        for (int64_t t = 0; t < length; ++t) {
          if (c.resets.defined() && c.resets.data<uint8_t>()[b * T + t] != 0) before = 0;
          const double x = c.inputs[0].data<double>()[(b * T + t) * C + channel];
          EXPECT_NEAR(out[0].data<double>()[(b * T + t) * C + channel], mix * x + (1 - mix) * before, 1e-14);
          before = x;
        }
        EXPECT_EQ(out[1].data<double>()[b * C + channel], before);
      }
  }
}

TEST(TokenShift, Gradients) {
  for (SequenceCase c : {make_case(1, 1, 1), make_case(2, 3, 5), make_case(1, 66, 2), ragged(make_case(4, 6, 3))}) {
    expect_sequence_gradients(kTokenShift, c);
    c.inputs[2] = Tensor();
    expect_sequence_gradients(kTokenShift, c);
  }
}

TEST(TokenShift, FastEqualsF64OnEveryInstructionSet) {
  for (const SequenceCase& c :
       {make_case(2, 1, 1), make_case(2, 3, 17), make_case(1, 130, 33), ragged(make_case(4, 70, 40))}) {
    expect_fast_equals_f64(kTokenShift, c, Dtype::f32, 1e-6);
    expect_fast_equals_f64(kTokenShift, c, Dtype::bf16, 0.01);
  }
}

TEST(TokenShift, PiecesEqualTheWhole) { expect_pieces_equal_whole(kTokenShift, make_case(3, 7, 5)); }
TEST(TokenShift, PaddingIsTheIdentity) { expect_padding_is_identity(kTokenShift, ragged(make_case(4, 6, 9))); }
TEST(TokenShift, StridesChangeNothing) { expect_strides_change_nothing(kTokenShift, ragged(make_case(4, 6, 33))); }
TEST(TokenShift, GradientsAddUp) { expect_gradients_add_up(kTokenShift, make_case(2, 70, 9)); }

TEST(TokenShift, Errors) {
  const Tensor x = zeros({2, 3, 4}), mix = zeros({4});
  expect_error([&] { token_shift(zeros({3, 4}), mix); }, {"token_shift: x must be [B,T,C]", "[3,4] f32"});
  expect_error([&] { token_shift(x, zeros({3})); }, {"token_shift: mix must be [C]=[4] f32", "[3] f32", "[2,3,4]"});
  expect_error([&] { token_shift(x, mix, {zeros({2, 3}), {}, {}}); }, {"token_shift: state must be [B,C]=[2,4]"});
  expect_error([&] { token_shift(x, zeros({4}, Dtype::f64)); }, {"token_shift: mix", "f32 on cpu; got [4] f64"});
  expect_error(
      [&] {
        token_shift(x, mix, {{}, from_values(std::vector<int32_t>{3, 4}, {2}), {}});
      },
      {"token_shift: lengths must be in 0 .. T=3", "lengths[1] is 4"});
  expect_error(
      [&] {
        token_shift(x, mix, {{}, {}, zeros({2, 4}, Dtype::u8)});
      },
      {"token_shift: resets must be [B,T]=[2,3] u8"});
}

}  // namespace
}  // namespace vigor
