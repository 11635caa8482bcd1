// The i3 model against PyTorch: tests/fixtures/i3/README.md says what the fixtures hold and how exact they are.
#include <gtest/gtest.h>

#include <string>

#include "kernels/views/views.h"
#include "models/i3/i3_model.h"
#include "tests/support/i3_fixture.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_near_largest;
using testing::I3Fixture;

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
  c.expect_weights_after_five_steps(1e-6, testing::kI3Noise);
  for (const ArenaSlot& slot : c.model().parameters().parameters()) {
    if (slot.name.find(testing::kI3Noise) == std::string::npos) continue;
    SCOPED_TRACE(slot.name);
    const Tensor expected = c.expected.tensor("step5." + slot.name);
    const int64_t d = expected.numel() / 3;
    for (const int64_t part : {int64_t{0}, 2 * d})  // of the queries and of the values
      expect_near_largest(slice(slot.tensor, 0, part, part + d), slice(expected, 0, part, part + d), 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, I3Parity, ::testing::ValuesIn(testing::kI3Fixtures),
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
