#include "kernels/repetition_penalty/repetition_penalty.h"

#include <gtest/gtest.h>

#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_equal;
using testing::expect_error;
using testing::random;

Tensor ids(const std::vector<int32_t>& values, const Shape& sizes) { return from_values(values, sizes); }

TEST(RepetitionPenalty, HandWorked) {
  const Tensor logits = from_values(std::vector<float>{3, -3, 0, 1, 3, -3, -HUGE_VALF, 1}, {2, 4});
  const Tensor seen = ids({0, 1, 0, 2, 1, 3}, {2, 3});  // row 0 has 0 twice
  EXPECT_EQ(repetition_penalty(logits, seen, {}, 1.5).to_vector<float>(),
            (std::vector<float>{2, -4.5, 0, 1, 3, -4.5, -HUGE_VALF, 1 / 1.5f}));
  // Of row 1 only the first id counts; what lies behind may be anything.
  const Tensor ragged = ids({0, 1, 3, 1, -7, 99}, {2, 3});
  EXPECT_EQ(repetition_penalty(logits, ragged, ids({2, 1}, {2}), 2).to_vector<float>(),
            (std::vector<float>{1.5, -6, 0, 1, 3, -6, -HUGE_VALF, 1}));
}

TEST(RepetitionPenalty, EqualsTheDefinitionForEveryDtypeAndStride) {
  const int64_t B = 3, V = 50, N = 20;
  const Tensor seen = testing::random_ids({B, N}, V);
  for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
    const Tensor logits = random({B, V}, dtype, 1, -5, 5);
    std::vector<double> expected = logits.to_vector<double>();
    for (int64_t b = 0; b < B; ++b)
      for (int64_t v = 0; v < V; ++v) {
        const int32_t* row = seen.data<int32_t>() + b * N;
        double& z = expected[static_cast<size_t>(b * V + v)];
        if (std::find(row, row + N, v) != row + N) z = z > 0 ? z / 1.3 : z * 1.3;
      }
    const double rounding = dtype == Dtype::f64 ? 1e-15 : dtype == Dtype::f32 ? 2e-7 : 4e-3;
    const Tensor y = repetition_penalty(logits, seen, {}, 1.3);
    expect_close(y, from_values(expected, {B, V}), 0, rounding);
    for (const Tensor& variant : testing::strided_variants(logits))
      expect_equal(repetition_penalty(variant, seen, {}, 1.3), y);
    for (const Tensor& variant : testing::strided_variants(seen))
      expect_equal(repetition_penalty(logits, variant, {}, 1.3), y);
  }
}

TEST(RepetitionPenalty, OfOneOrOfNothingIsACopy) {
  const Tensor logits = random({2, 5});
  for (const Tensor& y : {repetition_penalty(logits, zeros({2, 3}, Dtype::i32), {}, 1),
                          repetition_penalty(logits, zeros({2, 0}, Dtype::i32), {}, 2)}) {
    expect_equal(y, logits);
    EXPECT_NE(y.raw(), logits.raw());
  }
}

TEST(RepetitionPenalty, Errors) {
  const Tensor logits = random({2, 5}), seen = zeros({2, 3}, Dtype::i32);
  expect_error([&] { repetition_penalty(random({5}), seen, {}, 2); }, {"logits must be [B,V]", "[5] f32"});
  expect_error([&] { repetition_penalty(logits, zeros({1, 3}, Dtype::i32), {}, 2); }, {"seen must be [B,N]", "[1,3]"});
  expect_error([&] { repetition_penalty(logits, seen, zeros({3}, Dtype::i32), 2); }, {"lengths must be [B]", "[3]"});
  expect_error([&] { repetition_penalty(logits, seen, full({2}, 4, Dtype::i32), 2); }, {"0..N=3", "lengths[0] is 4"});
  expect_error([&] { repetition_penalty(logits, full({2, 3}, 5, Dtype::i32), {}, 2); }, {"0..4", "seen[0,0] is 5"});
  for (const double penalty : {0.0, -1.0, HUGE_VAL, std::nan("")})
    expect_error([&] { repetition_penalty(logits, seen, {}, penalty); }, {"penalty must be above 0"});
}

}  // namespace
}  // namespace vigor
