// The i3 model on kCuda against PyTorch's fixtures, in f32 and bf16, and against the CPU: training, a captured step,
// generation with caches.
#include "tests/support/cuda_parity.h"
#include "tests/support/i3_fixture.h"

namespace vigor {
namespace {

using namespace vigor::testing;

class I3Cuda : public ::testing::TestWithParam<const char*> {};

TEST_P(I3Cuda, LogitsLossAndEveryGradient) {
  I3Fixture c(GetParam(), Dtype::f32, kCuda);
  c.expect_logits_and_loss(1e-5);
  c.expect_gradients(3e-5);
}

// Through a few layers the rounding is some percent of the largest gradient.
TEST_P(I3Cuda, Bf16StaysNearTheFixtureAsOnTheCpu) { expect_bf16_near_fixture<I3Fixture>(GetParam(), 0.15, kI3Noise); }

TEST_P(I3Cuda, WeightsAfterFiveStepsOfTheRecipe) {
  I3Fixture(GetParam(), Dtype::f32, kCuda).expect_weights_after_five_steps(2e-6, kI3Noise);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, I3Cuda, ::testing::ValuesIn(kI3Fixtures),
                         [](const auto& fixture) { return std::string(fixture.param); });

TEST(I3CudaGraph, ReplaysAreEagerSteps) { expect_replays_are_eager_steps<I3Fixture>("mixed"); }

TEST(I3CudaGeneration, ChoosesTheIdsOfTheCpu) {
  expect_ids_of_the_cpu<I3Fixture>("mixed", {{1, 2, 3, 4, 5}, {6, 7}}, 6);
}

}  // namespace
}  // namespace vigor
