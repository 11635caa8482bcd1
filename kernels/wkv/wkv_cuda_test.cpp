#include <gtest/gtest.h>

#include "kernels/wkv/wkv_testing.h"
#include "tests/support/cuda_sequence_testing.h"

namespace vigor {
namespace {

using namespace testing;
using namespace testing::wkv_cases;

TEST(WkvCuda, EqualsF64) {
  for (const SequenceCase& c : {make_case(2, 1, 1), make_case(2, 3, 17), make_case(1, 70, 66), make_case(3, 1, 64),
                                ragged(make_case(4, 40, 20))}) {
    SCOPED_TRACE(describe(c.inputs[0]));
    expect_cuda_equals_f64(kWkv, c, Dtype::f32, 2e-5);
    expect_cuda_equals_f64(kWkv, c, Dtype::bf16, 0.02);
  }
  SequenceCase c = make_case(2, 18, 8);
  c.inputs[4] = Tensor();
  expect_cuda_equals_f64(kWkv, c, Dtype::f32, 2e-5);
}

TEST(WkvCuda, LargeKeysNeitherOverflowNorVanish) {
  SequenceCase c = make_case(1, 40, 20);
  fill_uniform(c.inputs[0], -300, 300, {7, RandomStream::init, 8, 0});
  fill_uniform(c.inputs[2], -8, 5, {7, RandomStream::init, 9, 0});
  c.inputs[4] = Tensor();
  expect_cuda_equals_f64(kWkv, c, Dtype::f32, 1e-3);
}

TEST(WkvCuda, StridesChangeNothing) { expect_cuda_strides_change_nothing(kWkv, make_case(2, 5, 24)); }
TEST(WkvCuda, GradientsAddUp) { expect_gradients_add_up(kWkv, make_case(2, 20, 9), kCuda); }
TEST(WkvCuda, WarpsMayRunInAnyOrder) { expect_same_in_any_warp_order(kWkv, ragged(make_case(4, 20, 40))); }
TEST(WkvCuda, LengthsOutsideAreTakenAsTheNearest) { expect_lengths_clamped(kWkv, make_case(2, 5, 4)); }

TEST(WkvCuda, NoBankConflicts) {
  const SequenceCase c = make_case(1, 40, 64);
  const auto both = [&] { results_and_gradients(kWkv, c, Dtype::f32, kCuda); };
  if (const auto counted = count_kernels("wkv_backward_kernel", both)) {
    EXPECT_EQ(counted->bank_conflicts, 0u);
  }
}

TEST(WkvCuda, BytesMovedAreThoseOfTheCard) {
  constexpr double B = 2, T = 64, C = 64, K = 2, pass = 2 * B * T * C;
  const SequenceCase c = make_case(2, 64, 64);
  std::vector<Tensor> in;
  for (size_t i = 0; i < 4; ++i)
    in.push_back(set_requires_grad(on_cuda(converted(c.inputs[i], i < 2 ? Dtype::bf16 : Dtype::f32))));
  Tensor y;
  const auto forward = [&] { y = wkv(in[0], in[1], in[2], in[3]).y; };
  expect_bytes_moved("wkv_forward_kernel", 2 * pass + 8 * B * C, pass + 12 * B * C * (1 + K), forward);
  const Tensor dy = on_cuda(full(y.shape(), 1, Dtype::bf16));
  // k and v twice: the second time from the caches, which the emulated device does not have.
  expect_bytes_moved("wkv_backward_kernel", 5 * pass + 12 * B * C * K + 8 * B * C, 2 * pass + 8 * B * C, [&] {
    forward();
    backward(std::span(&y, 1), std::span(&dy, 1));
  });
}

}  // namespace
}  // namespace vigor
