#include "kernels/sampling/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_error;
using testing::random;

RandomKey key_of(uint32_t step) { return {7, RandomStream::sampling, 0, step}; }

Tensor row(const std::vector<double>& logits) {
  return testing::converted(from_values(logits, {1, static_cast<int64_t>(logits.size())}), Dtype::f32);
}

// How often each id is drawn.
std::map<int32_t, int> counts(const Tensor& logits, const SamplingOptions& options, uint32_t draws) {
  std::map<int32_t, int> n;
  for (uint32_t step = 0; step < draws; ++step) ++n[sample(logits, options, key_of(step)).item<int32_t>()];
  return n;
}

TEST(Sampling, GreedyTakesTheLowestOfEquals) {
  const Tensor logits = from_values(std::vector<float>{0, 5, 5, 1, 9, 2, 9, 9}, {2, 4});
  SamplingOptions greedy;
  greedy.greedy = true;
  EXPECT_EQ(sample(logits, greedy, {}).to_vector<int32_t>(), (std::vector<int32_t>{1, 0}));
  SamplingOptions cold;
  cold.temperature = 0;
  EXPECT_EQ(sample(logits, cold, {}).to_vector<int32_t>(), (std::vector<int32_t>{1, 0}));
}

TEST(Sampling, FrequenciesFollowTheSoftmax) {
  SamplingOptions options;
  options.temperature = 2;
  const std::vector<double> p = {0.5, 0.3, 0.15, 0.05};
  std::vector<double> logits;
  for (const double v : p) logits.push_back(2 * std::log(v));
  const uint32_t draws = 20'000;
  for (const int64_t top_k : {0, 4}) {  // once in order of ids, once through the selection
    options.top_k = top_k;
    std::map<int32_t, int> n = counts(row(logits), options, draws);
    double chi_squared = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      const double expected = p[i] * draws;
      chi_squared += std::pow(n[static_cast<int32_t>(i)] - expected, 2) / expected;
    }
    EXPECT_LT(chi_squared, 16.3);  // 3 degrees of freedom: exceeded once in a thousand
  }
}

TEST(Sampling, TopKKeepsTheLowestIdsOfEquals) {
  SamplingOptions options;
  options.top_k = 2;
  const std::map<int32_t, int> n = counts(row({1, 0, 1, 1, 0.5}), options, 200);
  EXPECT_EQ(n.size(), 2u);
  EXPECT_EQ(n.count(0) + n.count(2), 2u);
}

TEST(Sampling, TopPKeepsTheFewestThatReachIt) {
  const std::vector<double> p = {0.1, 0.4, 0.2, 0.3};
  std::vector<double> logits;
  for (const double v : p) logits.push_back(std::log(v));
  SamplingOptions options;
  for (const auto& [top_p, kept] : std::vector<std::pair<double, size_t>>{{0.3, 1}, {0.5, 2}, {0.8, 3}, {0.95, 4}}) {
    options.top_p = top_p;
    const std::map<int32_t, int> n = counts(row(logits), options, 400);
    EXPECT_EQ(n.size(), kept);
    EXPECT_EQ(n.count(1), 1u);
  }
  // After top_k, of what that left: 0.4 / 0.7 is above one half.
  options.top_k = 2;
  options.top_p = 0.5;
  EXPECT_EQ(counts(row(logits), options, 100).size(), 1u);
}

TEST(Sampling, MinPKeepsThoseNearTheLikeliest) {
  const std::vector<double> p = {0.1, 0.4, 0.2, 0.3};
  std::vector<double> logits;
  for (const double v : p) logits.push_back(std::log(v));
  SamplingOptions options;
  const std::vector<std::pair<double, std::vector<int32_t>>> cases = {
      {0.2, {0, 1, 2, 3}}, {0.4, {1, 2, 3}}, {0.7, {1, 3}}, {0.8, {1}}, {1, {1}}};
  for (const auto& [min_p, kept] : cases) {
    options.min_p = min_p;
    std::vector<int32_t> ids;
    for (const auto& [id, n] : counts(row(logits), options, 400)) ids.push_back(id);
    EXPECT_EQ(ids, kept) << min_p;
  }
  options.min_p = 0.4;
  options.temperature = 0.5;  // squares the ratios: 0.25 and 0.56
  EXPECT_EQ(counts(row(logits), options, 400).size(), 2u);
  // Temperature first: far apart, then near.
  options.temperature = 10;
  EXPECT_EQ(counts(row(logits), options, 400).size(), 4u);
  // After top_k and top_p, of which the fewest win; the largest always stays.
  EXPECT_EQ(counts(row(logits), {1, 3, 1, 0.6}, 400).size(), 2u);
  EXPECT_EQ(counts(row(logits), {1, 2, 1, 0.1}, 400).size(), 2u);
  EXPECT_EQ(counts(row(logits), {1, 0, 0.8, 0.6}, 400).size(), 2u);
  EXPECT_EQ(counts(row(logits), {1, 0, 0.3, 0.1}, 400).size(), 1u);
  EXPECT_EQ(counts(row({2, 2, 2}), {1, 0, 1, 1}, 400).size(), 3u);
}

// The quick selection against sorting everything, on a large vocabulary with many equal logits.
TEST(Sampling, EqualsFullSort) {
  const int64_t V = 20'000;
  for (const uint32_t salt : {1u, 2u, 3u}) {
    std::vector<float> logits = random({V}, Dtype::f32, salt, -8, 8).to_vector<float>();
    if (salt > 1)
      for (float& x : logits) x = std::round(x * 4) / 4;
    if (salt > 2) std::sort(logits.begin(), logits.end());  // rising: every logit passes the threshold
    std::vector<int32_t> order;
    for (int32_t i = 0; i < V; ++i) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    for (const int64_t top_k : {int64_t{0}, int64_t{1}, int64_t{40}, int64_t{5000}, V + 5})
      for (const double top_p : {1.0, 0.9, 0.1}) {
        if (top_k == 0 && top_p == 1) continue;
        SamplingOptions options{0.8, top_k, top_p};
        const size_t k = static_cast<size_t>(top_k == 0 ? V : std::min(top_k, V));
        std::vector<double> p;
        double total = 0;
        for (size_t i = 0; i < k; ++i) {
          p.push_back(std::exp((logits[static_cast<size_t>(order[i])] - logits[static_cast<size_t>(order[0])]) / 0.8));
          total += p.back();
        }
        double sum = 0;
        size_t kept = 0;
        while (kept < k && (kept == 0 || sum < top_p * total * (1 - 1e-12))) sum += p[kept++];
        const std::vector<int32_t> allowed(order.begin(), order.begin() + static_cast<int64_t>(kept));
        for (uint32_t step = 0; step < 5; ++step) {
          const int32_t id = sample(from_values(logits, {1, V}), options, key_of(step)).item<int32_t>();
          EXPECT_NE(std::find(allowed.begin(), allowed.end(), id), allowed.end())
              << "top_k " << top_k << " top_p " << top_p;
        }
      }
  }
}

TEST(Sampling, IsAFunctionOfTheKeyAndTheRow) {
  const Tensor one = random({1, 1000}, Dtype::f32, 5), logits = empty({3, 1000});
  for (int64_t i = 0; i < 3000; ++i) logits.data<float>()[i] = one.data<float>()[i % 1000];
  const std::vector<int32_t> ids = sample(logits, {}, key_of(3)).to_vector<int32_t>();
  EXPECT_EQ(sample(logits, {}, key_of(3)).to_vector<int32_t>(), ids);
  EXPECT_EQ(sample(one, {}, key_of(3)).item<int32_t>(), ids[0]);
  EXPECT_TRUE(ids[0] != ids[1] || ids[1] != ids[2]);
  EXPECT_NE(sample(logits, {}, key_of(4)).to_vector<int32_t>(), ids);
  for (const Tensor& variant : testing::strided_variants(logits))
    EXPECT_EQ(sample(variant, {}, key_of(3)).to_vector<int32_t>(), ids);
}

TEST(Sampling, MinusInfinityExcludes) {
  const double none = -HUGE_VAL;
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{1, 3, 1}, SamplingOptions{1, 0, 0.99}, SamplingOptions{1, 0, 1, 0.1}}) {
    const std::map<int32_t, int> n = counts(row({none, 1, none, 1}), options, 100);
    EXPECT_EQ(n.size(), 2u);
    EXPECT_EQ(n.count(1) + n.count(3), 2u);
  }
}

TEST(Sampling, Errors) {
  const Tensor logits = random({2, 5});
  const auto with = [&](double temperature, int64_t top_k, double top_p) {
    sample(logits, {temperature, top_k, top_p}, {});
  };
  expect_error([&] { with(-1, 0, 1); }, {"sample: temperature must be at least 0", "-1"});
  expect_error([&] { with(1, -2, 1); }, {"sample: top_k must be at least 0", "-2"});
  expect_error([&] { with(1, 0, 0); }, {"sample: top_p must be above 0 and at most 1", "0"});
  for (const double min_p : {-0.1, 1.1, std::nan("")})
    expect_error([&] { sample(logits, {1, 0, 1, min_p}, {}); }, {"sample: min_p must be at least 0"});
  expect_error([&] { sample(random({5}), {}, {}); }, {"sample: logits must be [B,V]", "[5] f32"});
  logits.data<float>()[7] = std::nanf("");
  expect_error<std::runtime_error>([&] { with(1, 2, 1); }, {"sample: logits must be finite", "row 1 of [2,5] f32"});
  expect_error<std::runtime_error>([&] { sample(full({1, 3}, -HUGE_VAL), {}, {}); }, {"not all -infinity", "row 0"});
}

}  // namespace
}  // namespace vigor
