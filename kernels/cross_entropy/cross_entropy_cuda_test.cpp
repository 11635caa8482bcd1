#include "kernels/cross_entropy/cross_entropy.h"

#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

// Ignores some targets: those that are 0.
Tensor run(std::span<const Tensor> in) { return cross_entropy(in[0], in[1], 0); }

void expect_agreement(const Shape& sizes, double offset = 0) {
  SCOPED_TRACE(to_string(sizes) + " around " + std::to_string(offset));
  const Tensor logits = random(sizes, Dtype::f64, 1, offset - 8, offset + 8);
  const Tensor targets = random_ids({sizes[0]}, sizes[1], Dtype::i64);
  expect_cuda_close_to_f64(run, {logits, targets}, {Dtype::f32}, 2e-6, 1e-5);
  expect_cuda_close_to_f64(run, {logits, targets}, {Dtype::bf16}, 2e-6, 8e-3);  // rounded twice
}

TEST(CrossEntropyCuda, AgreesWithTheDefinition) {
  for (const Shape& sizes : {Shape{1, 1}, Shape{1, 3}, Shape{3, 17}, Shape{17, 33}, Shape{5, 256}, Shape{2, 5000}})
    expect_agreement(sizes);
}

TEST(CrossEntropyCuda, RowsThatSharedMemoryDoesNotHold) {
  for (const int64_t V : {50'000, 50'001}) expect_agreement({1, V});
}

TEST(CrossEntropyCuda, LargeOffsets) {
  // Only the subtraction of the maximum keeps the exponentials finite.
  for (const double offset : {500.0, -500.0}) expect_agreement({4, 64}, offset);
}

TEST(CrossEntropyCuda, MaskedLogitsAndStrides) {
  std::vector<float> logits(300, -INFINITY);
  logits[0] = logits[150] = 2;  // most threads have only masked ones
  const Tensor loss = cross_entropy(on_cuda(from_values(logits, {1, 300})), zeros({1}, Dtype::i32, kCuda));
  EXPECT_NEAR(on_host(loss).item<float>(), std::log(2.0), 1e-6);
  const Tensor targets = random_ids({6}, 16);
  for (const Tensor& variant : strided_variants(random({6, 16}, Dtype::f32, 2)))
    expect_cuda_close_to_f64(run, {variant, with_gaps(targets)}, {Dtype::f32}, 2e-6, 1e-5);
}

TEST(CrossEntropyCuda, AllIgnoredIsZero) {
  const Tensor logits = set_requires_grad(on_cuda(random({2, 5})));
  const Tensor loss = cross_entropy(logits, full({2}, -100, Dtype::i32, kCuda), -100);
  EXPECT_EQ(on_host(loss).item<float>(), 0);
  backward(loss);
  expect_equal(on_host(grad(logits)), zeros({2, 5}));
}

TEST(CrossEntropyCuda, NonFiniteLogitsAndTargetsOutOfRangeGiveANonFiniteLoss) {
  for (const double bad : {HUGE_VAL, std::nan("")}) {
    const Tensor logits = random({1, 40});
    logits.data<float>()[7] = static_cast<float>(bad);
    EXPECT_FALSE(std::isfinite(on_host(cross_entropy(on_cuda(logits), zeros({1}, Dtype::i32, kCuda))).item<float>()));
  }
  for (const int target : {40, -2}) {
    const Tensor logits = set_requires_grad(zeros({2, 40}, Dtype::f32, kCuda));
    const Tensor loss = cross_entropy(logits, on_cuda(from_values<int32_t>({3, target}, {2})));
    EXPECT_TRUE(std::isnan(on_host(loss).item<float>()));
    backward(loss);
    EXPECT_TRUE(std::isnan(on_host(grad(logits)).to_vector<float>()[79]));
  }
}

TEST(CrossEntropyCuda, TargetsMustBeOnTheDevice) {
  expect_error(
      [] {
        cross_entropy(zeros({2, 5}, Dtype::f32, kCuda), zeros({2}, Dtype::i32));
      },
      {"cross_entropy: targets must be [N]=[2] i32 or i64 on cuda:0", "[2] i32"});
}

TEST(CrossEntropyCuda, MovesWhatTheCardSays) {
  for (const auto& [V, reads] : {std::pair<int64_t, double>{8000, 1}, {30'000, 2}}) {
    const double row = 4.0 * static_cast<double>(V);
    const Tensor logits = set_requires_grad(on_cuda(random({2, V}))), targets = zeros({2}, Dtype::i64, kCuda);
    Tensor loss;
    expect_bytes_moved("cross_entropy_rows", 2 * reads * row, 2 * row, [&] { loss = cross_entropy(logits, targets); });
    // dloss is 1: nothing but the reading of that.
    const auto counters = count_kernels("scaled_gradient", [&] { backward(loss); });
    EXPECT_EQ(counters ? counters->global_bytes_written : 0, 0u);
  }
}

}  // namespace
}  // namespace vigor
