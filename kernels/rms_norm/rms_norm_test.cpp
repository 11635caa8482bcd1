#include "kernels/rms_norm/rms_norm.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/reduce/reduce.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return rms_norm(in[0], in[1]); }

// The same from basic operations.
Tensor composed(std::span<const Tensor> in) { return in[0] / sqrt(mean(in[0] * in[0], {-1}, true) + 1e-5) * in[1]; }

std::vector<Tensor> make_inputs(const Shape& shape) {
  return {random(shape, Dtype::f64, 1, -2, 3), random({shape.back()}, Dtype::f64, 2, 0.5, 1.5)};
}

const std::vector<Shape> kShapes = {{1}, {3}, {1, 17}, {3, 5, 17}, {7, 33}, {2, 64}, {100, 48}};

TEST(RmsNorm, HandWorked) {
  // Mean square (1 + 9 + 16 + 64) / 4 = 22.5.
  const Tensor x = from_values<double>({1, 3, -4, 8}, {1, 4});
  const Tensor weight = from_values<double>({1, 2, 1, 0}, {4});
  const double rstd = 1 / std::sqrt(22.5);
  expect_values(rms_norm(x, weight, 0), {rstd, 6 * rstd, -4 * rstd, 0}, 1e-12);
}

TEST(RmsNorm, MatchesPyTorch) { expect_fixture(run, "rms_norm", {"x", "weight"}, 2e-6, 2e-6); }

TEST(RmsNorm, Gradient) {
  for (const Shape& shape : {Shape{3}, Shape{1, 17}, Shape{3, 5, 7}, Shape{40, 4}})
    expect_gradients(run, make_inputs(shape));
}

TEST(RmsNorm, AgreesWithComposedForm) {
  for (const Shape& shape : kShapes) {
    const std::vector<Tensor> inputs = make_inputs(shape);
    const Tensor dy = random(shape, Dtype::f64, 4);
    const Outcome fused = outcome_of(run, inputs, dy), plain = outcome_of(composed, inputs, dy);
    expect_close(fused.y, plain.y, 1e-12, 1e-12);
    for (size_t i = 0; i < inputs.size(); ++i) expect_close(fused.gradients[i], plain.gradients[i], 1e-11, 1e-11);
  }
}

TEST(RmsNorm, FastAgreesWithDefinition) {
  for (const Shape& shape : kShapes) {
    expect_close_to_f64(run, make_inputs(shape), {Dtype::f32}, 1e-5, 1e-5);
    expect_close_to_f64(run, make_inputs(shape), {Dtype::bf16, Dtype::f32}, 1e-2, 1e-2);
    expect_close_to_f64(run, make_inputs(shape), {Dtype::bf16}, 1e-2, 1e-2);
  }
}

TEST(RmsNorm, StridedInputs) {
  const Tensor x = random({3, 5, 17}), weight = random({17}, Dtype::f32, 1);
  for (const Tensor& strided : strided_variants(x))
    expect_equal(rms_norm(strided, with_gaps(weight)), rms_norm(x, weight));
}

TEST(RmsNorm, WeightGradientsAddUp) {
  const Tensor x = random({6, 17}), weight = full({17}, 1.0), dy = random({6, 17}, Dtype::f32, 5);
  const Outcome once = outcome_of(run, {x, weight}, dy);
  set_requires_grad(weight);
  set_grad_buffer(weight, full({17}, 7.0));  // old numbers that count as zero
  for (int step = 0; step < 2; ++step) {
    const Tensor y = rms_norm(x, weight);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
  expect_close(grad(weight), once.gradients[1] * 2.0, 1e-6, 1e-6);
}

TEST(RmsNorm, Errors) {
  const Tensor x = zeros({2, 8});
  expect_error([&] { rms_norm(x, zeros({4})); }, {"rms_norm: weight", "[C]=[8]", "[4] f32", "[2,8] f32"});
  expect_error([&] { rms_norm(x, zeros({8}, Dtype::bf16)); }, {"rms_norm: weight", "[8] bf16"});
  expect_error([&] { rms_norm(zeros({2, 0}), zeros({0})); }, {"rms_norm", "[2,0]"});
  expect_error([&] { rms_norm(zeros({2, 8}, Dtype::i32), zeros({8})); }, {"rms_norm", "[2,8] i32"});
}

}  // namespace
}  // namespace vigor
