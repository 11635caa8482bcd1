// The i3 model against PyTorch: tests/fixtures/i3/README.md says what the fixtures hold and how exact they are.
#include <gtest/gtest.h>

#include <string>

#include "kernels/views/views.h"
#include "models/i3/i3_model.h"
#include "tests/support/i3_fixture.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_near;
using testing::I3Fixture;
using testing::Recipe;

class I3Parity : public ::testing::TestWithParam<const char*> {};

TEST_P(I3Parity, LogitsAndLoss) {
  I3Fixture c(GetParam());
  EXPECT_TRUE(c.loaded.warnings.empty());
  c.expect_logits_and_loss(1e-5);
}

TEST_P(I3Parity, EveryGradient) { I3Fixture(GetParam()).expect_gradients(2e-5); }

TEST_P(I3Parity, EveryGradientInDoublePrecision) {
  I3Fixture(GetParam(), Dtype::f64).expect_gradients(1e-6);  // the fixtures are rounded to float32
}

TEST_P(I3Parity, EveryGradientWithRecomputation) {
  ForwardContext context;
  context.recompute = true;
  I3Fixture(GetParam()).expect_gradients(2e-5, context);
}

TEST_P(I3Parity, WeightsAfterFiveStepsOfTheRecipe) {
  I3Fixture c(GetParam());
  Recipe recipe(c.model());
  for (int step = 0; step < 5; ++step) {
    recipe.begin(step);
    recipe.run(c.ids(), c.targets());
    EXPECT_LT(recipe.state.read().clip_factor, 1.0f);  // so that clipping is part of the test
  }
  for (const ArenaSlot& slot : c.model().parameters().parameters()) {
    const Tensor expected = c.expected.tensor("step5." + slot.name);
    if (slot.name.find("qkv.bias") == std::string::npos) {
      expect_near(slot.tensor, expected, 1e-6, slot.name);
      continue;
    }
    // The keys' biases have gradient 0, as softmax ignores a shift, and Adam makes full steps of the rounding noise
    // there.
    const int64_t d = expected.numel() / 3;
    expect_near(slice(slot.tensor, 0, 0, d), slice(expected, 0, 0, d), 1e-6, slot.name);
    expect_close(slice(slot.tensor, 0, d, 2 * d), slice(expected, 0, d, 2 * d), 5e-5);
    expect_near(slice(slot.tensor, 0, 2 * d, 3 * d), slice(expected, 0, 2 * d, 3 * d), 1e-6, slot.name);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, I3Parity,
                         ::testing::Values("pure_hybrid", "mixed", "pure_attention", "low_rank", "interleaved"),
                         [](const auto& fixture) { return std::string(fixture.param); });

TEST(I3Parity, PublishedPickleWithPrefixAndWrongStateWidth) {
  I3Fixture c("pickled_prefixed");
  ASSERT_EQ(c.loaded.warnings.size(), 1u);
  EXPECT_NE(c.loaded.warnings[0].find("d_state is 64"), std::string::npos) << c.loaded.warnings[0];
  EXPECT_EQ(dynamic_cast<const I3Config&>(c.model().config()).d_state, 3);
  for (const ArenaSlot& slot : c.model().parameters().parameters())
    testing::expect_equal(slot.tensor, c.expected.tensor("weight." + slot.name));
  const NoGrad no_grad;
  expect_close(c.model().logits(c.ids()), c.expected.tensor("logits"), 1e-5, 1e-5);
  expect_close(c.model().loss(c.ids(), c.targets()), c.expected.tensor("loss"), 1e-6, 1e-6);
}

}  // namespace
}  // namespace vigor
