#include "kernels/sampling/sampling.h"

#include "tests/support/cuda_testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

RandomKey key_of(uint32_t step) { return {7, RandomStream::sampling, 0, step}; }

// A GPU draws what the CPU draws, for every combination of options.
void expect_the_cpus_ids(const Tensor& logits, uint32_t draws) {
  const Tensor there = on_cuda(logits);
  for (const double temperature : {0.0, 0.8})
    for (const int64_t top_k : {int64_t{0}, int64_t{1}, int64_t{5}, logits.size(1) + 5})
      for (const double top_p : {1.0, 0.9, 0.1})
        for (uint32_t step = 0; step < draws; ++step) {
          const SamplingOptions options{temperature, top_k, top_p};
          EXPECT_EQ(on_host(sample(there, options, key_of(step))).to_vector<int32_t>(),
                    sample(logits, options, key_of(step)).to_vector<int32_t>())
              << to_string(logits.shape()) << " temperature " << temperature << " top_k " << top_k << " top_p "
              << top_p;
        }
}

TEST(SamplingCuda, DrawsWhatTheCpuDraws) {
  for (const int64_t V : {1, 3, 17, 1000}) expect_the_cpus_ids(random({2, V}, Dtype::f32, 1, -4, 4), 3);
}

TEST(SamplingCuda, MinPKeepsWhatTheCpuKeeps) {
  std::vector<float> logits = random({600}, Dtype::f32, 6, -4, 4).to_vector<float>();
  for (float& x : logits) x = std::round(x * 4) / 4;  // some exactly on the border
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor here = converted(from_values(logits, {2, 300}), dtype), there = on_cuda(here);
    for (const SamplingOptions& options :
         {SamplingOptions{1, 0, 1, 0.1}, SamplingOptions{0.7, 0, 1, std::exp(-1.0 / 0.7)},
          SamplingOptions{1, 20, 1, 0.3}, SamplingOptions{1, 0, 0.5, 0.4}, SamplingOptions{1, 0, 1, 1}})
      for (uint32_t step = 0; step < 4; ++step)
        EXPECT_EQ(on_host(sample(there, options, key_of(step))).to_vector<int32_t>(),
                  sample(here, options, key_of(step)).to_vector<int32_t>())
            << "min_p " << options.min_p << " top_k " << options.top_k;
  }
}

TEST(SamplingCuda, EqualLogitsInOrderOfIds) {
  std::vector<float> logits = random({1500}, Dtype::f32, 2, -4, 4).to_vector<float>();
  for (float& x : logits) x = std::round(x);  // zeros of both signs too
  expect_the_cpus_ids(from_values(logits, {1, 1500}), 3);
  expect_the_cpus_ids(random({2, 300}, Dtype::bf16, 3, -4, 4), 3);
}

TEST(SamplingCuda, WideVocabulary) {
  const Tensor logits = random({1, 40'000}, Dtype::f32, 4, -8, 8);
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{0.9, 4000, 1}, SamplingOptions{0.9, 0, 0.95}})
    for_each_warp_order([&] {
      EXPECT_EQ(on_host(sample(on_cuda(logits), options, key_of(1))).item<int32_t>(),
                sample(logits, options, key_of(1)).item<int32_t>());
    });
}

TEST(SamplingCuda, GreedyTakesTheLowestOfEquals) {
  const Tensor logits = on_cuda(from_values(std::vector<float>{0, 5, 5, 1, 9, 2, 9, 9}, {2, 4}));
  SamplingOptions greedy;
  greedy.greedy = true;
  EXPECT_EQ(on_host(sample(logits, greedy, {})).to_vector<int32_t>(), (std::vector<int32_t>{1, 0}));
}

TEST(SamplingCuda, FrequenciesFollowTheSoftmax) {
  const std::vector<double> p = {0.5, 0.3, 0.15, 0.05};
  std::vector<float> logits;
  for (int row = 0; row < 400; ++row)
    for (const double v : p) logits.push_back(static_cast<float>(std::log(v)));
  const Tensor there = on_cuda(from_values(logits, {400, 4}));  // each row has its own random numbers
  for (const int64_t top_k : {0, 3}) {
    const std::vector<int32_t> ids = on_host(sample(there, {1, top_k, 1}, key_of(9))).to_vector<int32_t>();
    double chi_squared = 0;
    const size_t kept = top_k == 0 ? 4 : 3;
    for (size_t i = 0; i < 4; ++i) {
      const auto n = static_cast<double>(std::count(ids.begin(), ids.end(), static_cast<int32_t>(i)));
      if (i >= kept) EXPECT_EQ(n, 0);
      else chi_squared += std::pow(n - 400 * p[i] / (kept == 4 ? 1 : 0.95), 2) / (400 * p[i]);
    }
    EXPECT_LT(chi_squared, 16.3);  // 3 degrees of freedom: exceeded once in a thousand
  }
}

TEST(SamplingCuda, MinusInfinityExcludes) {
  const Tensor logits = from_values(std::vector<float>{-INFINITY, 1, -INFINITY, 1}, {1, 4});
  expect_the_cpus_ids(logits, 5);
}

TEST(SamplingCuda, Errors) {
  const Tensor logits = random({2, 5});
  logits.data<float>()[7] = std::nanf("");
  expect_error<std::runtime_error>([&] { sample(on_cuda(logits), {}, {}); },
                                   {"sample: logits must be finite", "row 1 of [2,5] f32"});
  for (const double bad : {HUGE_VAL, -HUGE_VAL})
    expect_error<std::runtime_error>([&] { sample(full({1, 3}, bad, Dtype::f32, kCuda), {}, {}); }, {"row 0"});
  expect_error(
      [] {
        sample(zeros({1, 3}, Dtype::f64, kCuda), {}, {});
      },
      {"sample: CUDA kernels compute in f32 and bf16"});
}

}  // namespace
}  // namespace vigor
