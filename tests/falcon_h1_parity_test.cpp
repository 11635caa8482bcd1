// Falcon-H1 against the transformers package: tests/fixtures/falcon_h1/README.md says what the fixtures hold and how
// exact they are.
#include <gtest/gtest.h>

#include <string>

#include "kernels/views/views.h"
#include "nn/forward_context.h"
#include "tests/support/falcon_h1_fixture.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::FalconH1Fixture;

class FalconH1Parity : public ::testing::TestWithParam<const char*> {};

TEST_P(FalconH1Parity, LogitsAndLoss) {
  FalconH1Fixture c(GetParam());
  EXPECT_TRUE(c.loaded.warnings.empty());
  c.expect_logits_and_loss(1e-5);
}

TEST_P(FalconH1Parity, LogitsAndLossInDoublePrecision) {
  FalconH1Fixture(GetParam(), Dtype::f64).expect_logits_and_loss(1e-6);
}

TEST_P(FalconH1Parity, EveryGradient) { FalconH1Fixture(GetParam()).expect_gradients(2e-5); }

TEST_P(FalconH1Parity, EveryGradientInDoublePrecision) {
  FalconH1Fixture(GetParam(), Dtype::f64).expect_gradients(1e-6);  // the fixtures are rounded to float32
}

TEST_P(FalconH1Parity, EveryGradientWithRecomputation) {
  ForwardContext context;
  context.recompute = true;
  FalconH1Fixture(GetParam()).expect_gradients(2e-5, context);
}

TEST_P(FalconH1Parity, WeightsAfterFiveSteps) {
  FalconH1Fixture(GetParam()).expect_weights_after_five_steps(2e-6, testing::kFalconH1Noise);
}

// The prompt in pieces of 4 tokens, rows of different lengths side by side, gives the logits behind the last token.
TEST_P(FalconH1Parity, PiecesGiveTheLogitsOfTheWhole) {
  FalconH1Fixture c(GetParam());
  const NoGrad no_grad;
  const Tensor ids = c.expected.tensor("ids"), expected = c.expected.tensor("logits");
  const std::vector<int32_t> lengths = c.lengths();
  for (int64_t b = 0; b < ids.size(0); ++b) {
    ModelCache cache = c.model().make_cache(1, 20);
    const auto row = [&](const Tensor& x, int64_t begin, int64_t end) {
      return clone(x.with_view(sliced(sliced(x.view(), 0, b, b + 1, 1, "test"), 1, begin, end, 1, "test")));
    };
    const int32_t length = lengths[static_cast<size_t>(b)];
    for (int32_t begin = 0; begin < length; begin += 4) {
      const int32_t end = std::min(begin + 4, length), count = end - begin;
      const Tensor logits = c.model().extend(row(ids, begin, end), std::span(&count, 1), cache);
      expect_close(logits, reshape(row(expected, end - 1, end), {1, expected.size(2)}), 1e-5, 1e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, FalconH1Parity, ::testing::ValuesIn(testing::kFalconH1Fixtures),
                         [](const auto& fixture) { return std::string(fixture.param); });

// Rows of several lengths in one call, as transformers takes them with a mask.
TEST(FalconH1Ragged, OneCallForAllRows) {
  FalconH1Fixture c("ragged");
  const NoGrad no_grad;
  ModelCache cache = c.model().make_cache(3, 20);
  const std::vector<int32_t> lengths = c.lengths();
  EXPECT_EQ(lengths, (std::vector<int32_t>{18, 7, 11}));
  const std::vector<float> logits = c.model().extend(c.ids(), lengths, cache).to_vector<float>();
  const std::vector<float> expected = c.expected.tensor("logits").to_vector<float>();
  const size_t V = logits.size() / 3;
  for (size_t b = 0; b < 3; ++b)
    for (size_t v = 0; v < V; ++v)
      EXPECT_NEAR(logits[b * V + v], expected[(b * 18 + static_cast<size_t>(lengths[b]) - 1) * V + v], 1e-4);
}

}  // namespace
}  // namespace vigor
