// Falcon-H1 on kCuda against the transformers package's fixtures, in f32 and bf16, and against the CPU: training,
// captured steps, generation with caches.
#include "tests/support/cuda_parity.h"
#include "tests/support/falcon_h1_fixture.h"

namespace vigor {
namespace {

using namespace vigor::testing;

class FalconH1Cuda : public ::testing::TestWithParam<const char*> {};

TEST_P(FalconH1Cuda, LogitsLossAndEveryGradient) {
  FalconH1Fixture c(GetParam(), Dtype::f32, kCuda);
  c.expect_logits_and_loss(1e-5);
  c.expect_gradients(3e-5);
}

// Through a few layers the rounding is some percent of the largest gradient, and 17 % for one D, a sum over all tokens
// that nearly cancels.
TEST_P(FalconH1Cuda, Bf16StaysNearTheFixtureAsOnTheCpu) {
  expect_bf16_near_fixture<FalconH1Fixture>(GetParam(), 0.2, kFalconH1Noise);
}

class FalconH1CudaTraining : public ::testing::TestWithParam<const char*> {};

TEST_P(FalconH1CudaTraining, WeightsAfterFiveSteps) {
  FalconH1Fixture(GetParam(), Dtype::f32, kCuda).expect_weights_after_five_steps(2e-6, kFalconH1Noise);
}

constexpr auto kNameOf = [](const auto& fixture) { return std::string(fixture.param); };
INSTANTIATE_TEST_SUITE_P(Fixtures, FalconH1Cuda, ::testing::ValuesIn(kFalconH1Fixtures), kNameOf);
INSTANTIATE_TEST_SUITE_P(Fixtures, FalconH1CudaTraining,
                         ::testing::Values("multipliers", "groups_norm_after_gate", "biases", "ragged"), kNameOf);

TEST(FalconH1CudaGraph, ReplaysAreEagerSteps) { expect_replays_are_eager_steps<FalconH1Fixture>("multipliers"); }

TEST(FalconH1CudaGeneration, ChoosesTheIdsOfTheCpu) {
  for (const char* name : {"multipliers", "groups_norm_after_gate"})
    expect_ids_of_the_cpu<FalconH1Fixture>(name, {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {6, 7}, {5, 4, 3, 2, 1}}, 8);
}

}  // namespace
}  // namespace vigor
