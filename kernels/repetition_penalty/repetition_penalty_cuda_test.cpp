#include "kernels/repetition_penalty/repetition_penalty.h"

#include "tests/support/cuda_testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(RepetitionPenaltyCuda, EqualsTheCpu) {
  for (const auto& [B, V, N] : {std::tuple{1, 1, 1}, {3, 50, 20}, {2, 700, 301}}) {
    const Tensor seen = random_ids({B, N}, V), lengths = random_ids({B}, N + 1);
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      std::vector<Tensor> variants = strided_variants(random({B, V}, dtype, 1, -5, 5));
      variants.push_back(random({B, V}, dtype, 2, -5, 5));
      for (const Tensor& logits : variants) {
        const Tensor there = on_cuda_strided(logits);
        expect_equal(on_host(repetition_penalty(there, on_cuda(seen), {}, 1.3)),
                     repetition_penalty(logits, seen, {}, 1.3));
        expect_equal(on_host(repetition_penalty(there, on_cuda(seen), on_cuda(lengths), 0.7)),
                     repetition_penalty(logits, seen, lengths, 0.7));
      }
    }
  }
}

TEST(RepetitionPenaltyCuda, LeavesOutIdsThatAreNone) {
  const Tensor seen = from_values(std::vector<int32_t>{-1, 1, 5}, {1, 3}), logits = full({1, 5}, 4);
  EXPECT_EQ(on_host(repetition_penalty(on_cuda(logits), on_cuda(seen), {}, 2)).to_vector<float>(),
            (std::vector<float>{4, 2, 4, 4, 4}));
}

TEST(RepetitionPenaltyCuda, Errors) {
  const Tensor logits = zeros({1, 3}, Dtype::f32, kCuda);
  expect_error([&] { repetition_penalty(logits, zeros({1, 1}, Dtype::i32), {}, 2); }, {"on one device"});
  expect_error(
      [&] {
        repetition_penalty(zeros({1, 3}, Dtype::f64, kCuda), zeros({1, 1}, Dtype::i32, kCuda), {}, 2);
      },
      {"repetition_penalty: CUDA kernels compute in f32 and bf16"});
}

}  // namespace
}  // namespace vigor
