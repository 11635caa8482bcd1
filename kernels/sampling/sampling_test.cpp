#include "kernels/sampling/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "tests/support/testing.h"

namespace vigor {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor row(const std::vector<float>& logits) { return from_values(logits, {1, static_cast<int64_t>(logits.size())}); }

// How often each id comes out of many draws.
std::map<int32_t, double> frequencies(const std::vector<float>& logits, const SamplingOptions& options) {
  constexpr int kDraws = 20000;
  std::vector<float> repeated;
  for (int i = 0; i < kDraws; ++i) repeated.insert(repeated.end(), logits.begin(), logits.end());
  const Tensor ids = sample(from_values(repeated, {kDraws, static_cast<int64_t>(logits.size())}), options,
                            {11, RandomStream::sampling, 0, 0});
  std::map<int32_t, double> found;
  for (int32_t id : ids.to_vector<int32_t>()) found[id] += 1.0 / kDraws;
  return found;
}

int32_t greedy(const std::vector<float>& logits) {
  SamplingOptions options;
  options.greedy = true;
  return sample(row(logits), options, {}).item<int32_t>();
}

TEST(Sampling, GreedyTakesTheLargestAndTheLowestIdOfATie) {
  EXPECT_EQ(greedy({0, 3, 1}), 1);
  EXPECT_EQ(greedy({2, 5, 5, 5}), 1);
  EXPECT_EQ(greedy({-kInf, -3, -kInf}), 1);
  SamplingOptions cold;
  cold.temperature = 0;
  EXPECT_EQ(sample(row({0, 3, 1}), cold, {}).item<int32_t>(), 1);
}

TEST(Sampling, FrequenciesFollowTheSoftmax) {
  const auto found = frequencies({std::log(1.0f), std::log(2.0f), std::log(5.0f)}, {});
  EXPECT_NEAR(found.at(0), 0.125, 0.01);
  EXPECT_NEAR(found.at(1), 0.25, 0.012);
  EXPECT_NEAR(found.at(2), 0.625, 0.012);
}

TEST(Sampling, TemperatureSharpens) {
  SamplingOptions options;
  options.temperature = 0.5;  // squares the weights: 1, 4, 25
  const auto found = frequencies({std::log(1.0f), std::log(2.0f), std::log(5.0f)}, options);
  EXPECT_NEAR(found.at(0), 1.0 / 30, 0.006);
  EXPECT_NEAR(found.at(2), 25.0 / 30, 0.012);
}

TEST(Sampling, TopKKeepsTheLikeliestAndRenormalises) {
  SamplingOptions options;
  options.top_k = 2;
  const auto found = frequencies({std::log(5.0f), std::log(1.0f), std::log(2.0f), std::log(1.5f)}, options);
  EXPECT_EQ(found.size(), 2u);
  EXPECT_NEAR(found.at(0), 5.0 / 7, 0.012);
  EXPECT_NEAR(found.at(2), 2.0 / 7, 0.012);
}

TEST(Sampling, TopPKeepsTheSmallestSetThatReachesIt) {
  SamplingOptions options;
  options.top_p = 0.7;  // 0.5 alone does not reach it, 0.5 + 0.3 does
  const auto found = frequencies({std::log(0.3f), std::log(0.5f), std::log(0.2f)}, options);
  EXPECT_EQ(found.size(), 2u);
  EXPECT_NEAR(found.at(1), 0.5 / 0.8, 0.012);
  options.top_p = 0.01;
  EXPECT_EQ(frequencies({std::log(0.3f), std::log(0.5f), std::log(0.2f)}, options).size(), 1u);
}

TEST(Sampling, TiesInTopKKeepLowIds) {
  SamplingOptions options;
  options.top_k = 2;
  const auto found = frequencies({1, 1, 1, 1}, options);
  EXPECT_EQ(found.count(0) + found.count(1), 2u);
  EXPECT_EQ(found.size(), 2u);
}

TEST(Sampling, RowsAreIndependentOfEachOtherAndRepeatable) {
  const Tensor logits = testing::random({5, 33}, Dtype::f32, 3, -2, 2);
  const RandomKey key{4, RandomStream::sampling, 0, 9};
  const auto all = sample(logits, {}, key).to_vector<int32_t>();
  EXPECT_EQ(sample(testing::with_gaps(logits), {}, key).to_vector<int32_t>(), all);
  const Tensor first = logits.with_view(sliced(logits, 0, 0, 2, 1, "test"));
  EXPECT_EQ(sample(first, {}, key).to_vector<int32_t>(), (std::vector<int32_t>{all[0], all[1]}));
}

TEST(Sampling, DtypesAgree) {
  const Tensor logits = testing::converted(testing::random({3, 17}, Dtype::f32, 3, -2, 2), Dtype::bf16);
  const RandomKey key{4, RandomStream::sampling, 0, 9};
  const auto expected = sample(testing::converted(logits, Dtype::f64), {}, key).to_vector<int32_t>();
  EXPECT_EQ(sample(logits, {}, key).to_vector<int32_t>(), expected);
}

TEST(Sampling, ErrorsSayWhatIsWrong) {
  const auto error = [](const Tensor& logits, const SamplingOptions& options) -> std::string {
    try {
      sample(logits, options, {});
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(error(row({0, NAN}), {}).find("row 0"), std::string::npos);
  EXPECT_NE(error(row({-kInf, -kInf}), {}).find("row 0"), std::string::npos);
  EXPECT_NE(error(zeros({3}), {}).find("[B,V]"), std::string::npos);
  EXPECT_NE(error(zeros({3}), {}).find("[3] f32"), std::string::npos);
  SamplingOptions bad;
  bad.top_p = 0;
  EXPECT_NE(error(row({0}), bad).find("top_p"), std::string::npos);
  bad = {};
  bad.temperature = -1;
  EXPECT_NE(error(row({0}), bad).find("temperature"), std::string::npos);
}

}  // namespace
}  // namespace vigor
