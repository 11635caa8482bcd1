#include <gtest/gtest.h>

#include "kernels/token_shift/token_shift_testing.h"
#include "tests/support/cuda_sequence_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::token_shift_cases;

TEST(TokenShiftCuda, EqualsF64) {
  for (SequenceCase c : {make_case(2, 1, 1), make_case(2, 3, 17), make_case(1, 40, 33), make_case(3, 1, 64),
                         ragged(make_case(4, 40, 40))}) {
    SCOPED_TRACE(describe(c.inputs[0]));
    expect_cuda_equals_f64(kTokenShift, c, Dtype::f32, 1e-6);
    expect_cuda_equals_f64(kTokenShift, c, Dtype::bf16, 0.01);
  }
  SequenceCase c = make_case(2, 18, 8);
  c.inputs[2] = Tensor();
  expect_cuda_equals_f64(kTokenShift, c, Dtype::f32, 1e-6);
}

TEST(TokenShiftCuda, StridesChangeNothing) { expect_cuda_strides_change_nothing(kTokenShift, make_case(2, 5, 24)); }
TEST(TokenShiftCuda, GradientsAddUp) { expect_gradients_add_up(kTokenShift, make_case(2, 20, 9), kCuda); }
TEST(TokenShiftCuda, WarpsMayRunInAnyOrder) {
  expect_same_in_any_warp_order(kTokenShift, ragged(make_case(4, 20, 40)));
}
TEST(TokenShiftCuda, LengthsOutsideAreTakenAsTheNearest) { expect_lengths_clamped(kTokenShift, make_case(2, 5, 4)); }

TEST(TokenShiftCuda, BytesMovedAreThoseOfTheCard) {
  constexpr double B = 2, T = 64, C = 256, R = 4, pass = 4 * B * T * C;
  const SequenceCase c = make_case(2, 64, 256);
  const Tensor x = set_requires_grad(on_cuda(converted(c.inputs[0], Dtype::f32))),
               mix = set_requires_grad(on_cuda(converted(c.inputs[1], Dtype::f32)));
  Tensor y;
  const auto forward = [&] { y = token_shift(x, mix).y; };
  expect_bytes_moved("token_shift_forward_kernel", pass + 4 * B * (R - 1) * C + 4 * B * R * C, pass + 4 * B * C,
                     forward);
  const Tensor dy = on_cuda(full(y.shape(), 1));
  expect_bytes_moved("token_shift_backward_kernel", 2 * pass + 8 * B * (R - 1) * C + 4 * B * R * C,
                     pass + 4 * B * R * C, [&] {
                       forward();
                       backward(std::span(&y, 1), std::span(&dy, 1));
                     });
}

}  // namespace
}  // namespace vigor
