// The i3 model against PyTorch: tests/fixtures/i3/README.md says what the fixtures hold and how exact they are.
#include <gtest/gtest.h>

#include <string>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "kernels/adamw/adamw.h"
#include "kernels/global_norm/global_norm.h"
#include "kernels/views/views.h"
#include "models/i3/i3_model.h"
#include "nn/forward_context.h"
#include "tests/support/i3_fixture.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_near;
using testing::I3Fixture;

class I3Parity : public ::testing::TestWithParam<const char*> {};

TEST_P(I3Parity, LogitsAndLoss) {
  I3Fixture c(GetParam());
  EXPECT_TRUE(c.loaded.warnings.empty());
  const NoGrad no_grad;
  expect_close(c.model().logits(c.ids()), c.expected.tensor("logits"), 1e-5, 1e-5);
  expect_close(c.model().loss(c.ids(), c.targets()), c.expected.tensor("loss"), 1e-6, 1e-6);
}

void expect_gradients_of(I3Fixture& c, const ForwardContext& context, double tolerance) {
  ParameterArena& parameters = c.model().parameters();
  parameters.allocate_gradients();
  backward(c.model().loss(c.ids(), c.targets(), context));
  parameters.complete_gradients();
  for (const ArenaSlot& slot : parameters.parameters())
    expect_near(grad(slot.tensor), c.expected.tensor("grad." + slot.name), tolerance, slot.name);
}

TEST_P(I3Parity, EveryGradient) {
  I3Fixture c(GetParam());
  expect_gradients_of(c, {}, 2e-5);
}

TEST_P(I3Parity, EveryGradientInDoublePrecision) {
  I3Fixture c(GetParam(), Dtype::f64);
  expect_gradients_of(c, {}, 1e-6);  // the fixtures are rounded to float32
}

TEST_P(I3Parity, EveryGradientWithRecomputation) {
  I3Fixture c(GetParam());
  ForwardContext context;
  context.recompute = true;
  expect_gradients_of(c, context, 2e-5);
}

TEST_P(I3Parity, WeightsAfterFiveStepsOfTheRecipe) {
  I3Fixture c(GetParam());
  ParameterArena& parameters = c.model().parameters();
  parameters.allocate_gradients();
  const ArenaGroup& group = parameters.groups()[0];
  const Tensor m = zeros_like(group.values), v = zeros_like(group.values);
  StepState state;
  const AdamWOptions options;  // the published recipe
  for (int step = 0; step < 5; ++step) {
    parameters.zero_gradients();
    backward(c.model().loss(c.ids(), c.targets()));
    parameters.complete_gradients();
    state.step = step;
    state.learning_rate = static_cast<float>(3e-4 * (step + 1) / 100);
    set_bias_corrections(state, options);
    global_norm(std::span(&group.gradients, 1), 1.0, &state);
    EXPECT_LT(state.clip_factor, 1.0f);  // so that clipping is part of the test
    adamw_update(group.values, group.gradients, m, v, &state, options);
  }
  for (const ArenaSlot& slot : parameters.parameters()) {
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
