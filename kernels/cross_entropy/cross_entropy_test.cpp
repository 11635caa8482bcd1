#include "kernels/cross_entropy/cross_entropy.h"

#include <gtest/gtest.h>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "tensor/safetensors.h"
#include "tensor/simd.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random;
using testing::random_ids;

TEST(CrossEntropy, ByHand) {
  // Uniform logits: log V. The second token is ignored.
  const Tensor logits = set_requires_grad(full({2, 4}, 3, Dtype::f64));
  const Tensor loss = cross_entropy(logits, from_values(std::vector<int64_t>{2, -1}, {2}));
  testing::expect_values(loss, {std::log(4.0)}, 1e-15);
  backward(loss);
  testing::expect_values(grad(logits), {0.25, 0.25, -0.75, 0.25, 0, 0, 0, 0}, 1e-15);
}

TEST(CrossEntropy, EqualsPyTorch) {
  const SafetensorsFile file = SafetensorsFile::open(VIGOR_SOURCE_DIR "/tests/fixtures/ops/cross_entropy.safetensors");
  const Tensor logits = set_requires_grad(clone(file.tensor("logits")));
  const Tensor loss = cross_entropy(logits, file.tensor("targets"));
  expect_close(loss, file.tensor("loss"), 0, 1e-6);
  backward(loss);
  expect_close(grad(logits), file.tensor("dlogits"), 1e-7, 1e-5);
}

TEST(CrossEntropy, Gradients) {
  for (const Shape& sizes : {Shape{1, 1}, Shape{1, 3}, Shape{3, 17}, Shape{17, 33}, Shape{8, 16}}) {
    const Tensor targets = random_ids({sizes[0]}, sizes[1], Dtype::i64);
    const auto f = [&](std::span<const Tensor> in) { return cross_entropy(in[0], targets, 0); };  // ignores some
    testing::expect_gradients(f, {random(sizes, Dtype::f64, 0, -4, 4)});
    testing::expect_gradients(f, {testing::transposed_storage(random(sizes, Dtype::f64))});
  }
}

TEST(CrossEntropy, FastEqualsF64OnEveryInstructionSet) {
  for (const Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    const IsaScope scope(isa);
    for (const int64_t V : {1, 3, 17, 33, 64, 1000}) {
      // Large offsets: only the subtraction of the maximum keeps the exponentials finite.
      for (const double offset : {0.0, 500.0, -500.0}) {
        const Tensor rounded = random({5, V}, Dtype::f32, 1, offset - 8, offset + 8);
        const Tensor targets = random_ids({5}, V);
        const Tensor exact = set_requires_grad(testing::converted(rounded, Dtype::f64));
        const Tensor expected = cross_entropy(exact, targets);
        backward(expected);
        const Tensor fast = set_requires_grad(clone(rounded));
        const Tensor actual = cross_entropy(fast, targets);
        backward(actual);
        expect_close(actual, expected, 2e-6, 1e-6);
        expect_close(grad(fast), grad(exact), 1e-7, 1e-5);
        const Tensor half = set_requires_grad(testing::converted(rounded, Dtype::bf16));
        const Tensor half_exact = set_requires_grad(testing::converted(half, Dtype::f64));
        const Tensor half_loss = cross_entropy(half, targets), half_expected = cross_entropy(half_exact, targets);
        EXPECT_EQ(half_loss.dtype(), Dtype::f32);
        expect_close(half_loss, half_expected, 2e-6, 1e-6);
        backward(half_loss);
        backward(half_expected);
        expect_close(grad(half), grad(half_exact), 1e-7, 0.005);
      }
    }
  }
}

TEST(CrossEntropy, AllIgnoredIsZero) {
  const Tensor logits = set_requires_grad(random({2, 5}));
  const Tensor loss = cross_entropy(logits, full({2}, -100, Dtype::i32), -100);
  EXPECT_EQ(loss.item<float>(), 0);
  backward(loss);
  testing::expect_equal(grad(logits), zeros({2, 5}));
}

TEST(CrossEntropy, NonFiniteLogitsGiveANonFiniteLoss) {
  for (const double bad : {HUGE_VAL, std::nan("")}) {
    const Tensor logits = random({1, 40});
    logits.data<float>()[7] = static_cast<float>(bad);
    EXPECT_FALSE(std::isfinite(cross_entropy(logits, zeros({1}, Dtype::i32)).item<float>()));
  }
}

TEST(CrossEntropy, Errors) {
  const Tensor logits = random({3, 5});
  expect_error(
      [&] {
        cross_entropy(logits, from_values(std::vector<int32_t>{0, 5, 1}, {3}));
      },
      {"cross_entropy: targets must be in 0 .. V-1=4 or ignore_index=-1", "targets[1] is 5"});
  expect_error([&] { cross_entropy(logits, zeros({4}, Dtype::i32)); },
               {"cross_entropy: targets must be [N]=[3]", "[4] i32"});
  expect_error([&] { cross_entropy(random({3}), zeros({3}, Dtype::i32)); },
               {"cross_entropy: logits must be [N,V]", "[3] f32"});
  expect_error([&] { cross_entropy(logits, zeros({3})); }, {"targets must be [N]=[3] i32 or i64", "f32"});
}

}  // namespace
}  // namespace vigor
