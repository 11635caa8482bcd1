#include "kernels/global_norm/global_norm.h"

#include <gtest/gtest.h>

#include "tensor/simd.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_error;
using testing::random;

StepState norm_of(const std::vector<Tensor>& grads, double max_norm) {
  StepState state;
  global_norm(grads, max_norm, &state);
  return state;
}

TEST(GlobalNorm, ByHand) {
  const std::vector<Tensor> grads = {full({1}, 3), full({2, 2}, 2)};  // 9 + 16
  EXPECT_FLOAT_EQ(norm_of(grads, 1).grad_norm, 5);
  EXPECT_FLOAT_EQ(norm_of(grads, 1).clip_factor, 1 / (5 + 1e-6f));
  EXPECT_EQ(norm_of(grads, 5.1).clip_factor, 1);
  EXPECT_EQ(norm_of(grads, 0).clip_factor, 1);
}

TEST(GlobalNorm, FastEqualsF64OnEveryInstructionSet) {
  for (const Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    const IsaScope scope(isa);
    for (const int64_t n : {1, 3, 17, 33, 100'000})
      for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
        const Tensor x = random({n}, dtype), exact = testing::converted(x, Dtype::f64);
        const float expected = norm_of({exact}, 1).grad_norm;
        EXPECT_NEAR(norm_of({x}, 1).grad_norm, expected, 1e-6 * static_cast<double>(expected));
      }
  }
}

// Squares beyond the range of f32, and ones whose sum f32 would lose.
TEST(GlobalNorm, SumsInDouble) {
  EXPECT_FLOAT_EQ(norm_of({full({4}, 1e30)}, 1).grad_norm, 2e30f);
  EXPECT_FLOAT_EQ(norm_of({full({4}, 1e-30)}, 1).grad_norm, 2e-30f);
}

TEST(GlobalNorm, NonFiniteGradientsShow) {
  for (const double bad : {HUGE_VAL, std::nan("")}) {
    const Tensor x = random({100});
    x.data<float>()[37] = static_cast<float>(bad);
    EXPECT_FALSE(std::isfinite(norm_of({x}, 1).grad_norm));
  }
}

TEST(GlobalNorm, KeepsTheFirstStepThatFailed) {
  const Tensor good = random({5}), bad = full({5}, HUGE_VAL);
  StepState state;
  for (const int64_t step : {6, 7, 8, 9}) {
    state.step = step;
    global_norm(std::span(step == 7 || step == 8 ? &bad : &good, 1), 1.0, &state);
    EXPECT_EQ(state.failed_step, step == 6 ? -1 : 7);
  }
  EXPECT_TRUE(std::isfinite(state.grad_norm));
}

TEST(GlobalNorm, SumsOverDtypes) {
  EXPECT_FLOAT_EQ(norm_of({full({1}, 3), full({4}, 2, Dtype::bf16), full({0}, 1)}, 0).grad_norm, 5);
}

TEST(GlobalNorm, Errors) {
  StepState state;
  expect_error([&] { global_norm({}, 1, &state); }, {"global_norm: at least one gradient"});
  const std::vector<Tensor> grads = {random({3}), testing::with_gaps(random({3, 2}))};
  expect_error([&] { global_norm(grads, 1, &state); }, {"global_norm: gradients must be contiguous", "1 is [3,2] f32"});
  expect_error([&] { global_norm(grads, -1, &state); }, {"global_norm: max_norm must be at least 0", "-1"});
}

}  // namespace
}  // namespace vigor
