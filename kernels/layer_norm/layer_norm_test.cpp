#include "kernels/layer_norm/layer_norm.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/reduce/reduce.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return layer_norm(in[0], in[1], in[2]); }

// The same from basic operations.
Tensor composed(std::span<const Tensor> in) {
  const Tensor centred = in[0] - mean(in[0], {-1}, true);
  const Tensor variance = mean(centred * centred, {-1}, true);
  return centred / sqrt(variance + 1e-5) * in[1] + in[2];
}

std::vector<Tensor> make_inputs(const Shape& shape) {
  const Shape parameter{shape.back()};
  return {random(shape, Dtype::f64, 1, -2, 3), random(parameter, Dtype::f64, 2, 0.5, 1.5),
          random(parameter, Dtype::f64, 3)};
}

const std::vector<Shape> kShapes = {{1}, {3}, {1, 17}, {3, 5, 17}, {7, 33}, {2, 64}, {100, 48}};

TEST(LayerNorm, HandWorked) {
  // Mean 4, variance ((-3)^2 + (-1)^2 + 0 + 4^2) / 4 = 6.5.
  const Tensor x = from_values<double>({1, 3, 4, 8}, {1, 4});
  const Tensor weight = from_values<double>({1, 2, 1, 1}, {4});
  const Tensor bias = from_values<double>({0, 0, 10, 0}, {4});
  const double rstd = 1 / std::sqrt(6.5);
  expect_values(layer_norm(x, weight, bias, 0), {-3 * rstd, -2 * rstd, 10, 4 * rstd}, 1e-12);
}

TEST(LayerNorm, MatchesPyTorch) { expect_fixture(run, "layer_norm", {"x", "weight", "bias"}, 2e-6, 2e-6); }

TEST(LayerNorm, Gradient) {
  for (const Shape& shape : {Shape{3}, Shape{1, 17}, Shape{3, 5, 7}, Shape{40, 4}})
    expect_gradients(run, make_inputs(shape));
}

TEST(LayerNorm, AgreesWithComposedForm) {
  for (const Shape& shape : kShapes) {
    const std::vector<Tensor> inputs = make_inputs(shape);
    const Tensor dy = random(shape, Dtype::f64, 4);
    const Outcome fused = outcome_of(run, inputs, dy), plain = outcome_of(composed, inputs, dy);
    expect_close(fused.y, plain.y, 1e-12, 1e-12);
    for (size_t i = 0; i < inputs.size(); ++i) expect_close(fused.gradients[i], plain.gradients[i], 1e-11, 1e-11);
  }
}

TEST(LayerNorm, FastAgreesWithDefinition) {
  for (const Shape& shape : kShapes) {
    expect_close_to_f64(run, make_inputs(shape), {Dtype::f32}, 1e-5, 1e-5);
    expect_close_to_f64(run, make_inputs(shape), {Dtype::bf16, Dtype::f32}, 1e-2, 1e-2);
    expect_close_to_f64(run, make_inputs(shape), {Dtype::bf16}, 1e-2, 1e-2);
  }
}

TEST(LayerNorm, LargeMeanCostsNoDigits) {
  std::vector<Tensor> inputs = make_inputs({4, 32});
  double* x = inputs[0].data<double>();
  for (int64_t i = 0; i < inputs[0].numel(); ++i) x[i] += 1000;
  expect_close_to_f64(run, inputs, {Dtype::f32}, 1e-4, 1e-4);
}

TEST(LayerNorm, StridedInputs) {
  const Tensor x = random({3, 5, 17}), weight = random({17}, Dtype::f32, 1), bias = random({17}, Dtype::f32, 2);
  for (const Tensor& strided : strided_variants(x))
    expect_equal(layer_norm(strided, with_gaps(weight), with_gaps(bias)), layer_norm(x, weight, bias));
}

TEST(LayerNorm, ParameterGradientsAddUp) {
  const Tensor x = random({6, 17}), weight = full({17}, 1.0), bias = zeros({17}), dy = random({6, 17}, Dtype::f32, 5);
  const Outcome once = outcome_of(run, {x, weight, bias}, dy);
  for (const Tensor* leaf : {&weight, &bias}) {
    set_requires_grad(*leaf);
    set_grad_buffer(*leaf, full({17}, 7.0));  // old numbers that count as zero
  }
  for (int step = 0; step < 2; ++step) {
    const Tensor y = layer_norm(x, weight, bias);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
  expect_close(grad(weight), once.gradients[1] * 2.0, 1e-6, 1e-6);
  expect_close(grad(bias), once.gradients[2] * 2.0, 1e-6, 1e-6);
}

TEST(LayerNorm, Errors) {
  const Tensor x = zeros({2, 8}), good = zeros({8});
  expect_error([&] { layer_norm(x, zeros({4}), good); }, {"layer_norm: weight", "[C]=[8]", "[4] f32", "[2,8] f32"});
  expect_error([&] { layer_norm(x, good, zeros({8}, Dtype::f64)); }, {"layer_norm: bias", "[8] f64"});
  expect_error([&] { layer_norm(zeros({2, 0}), zeros({0}), zeros({0})); }, {"layer_norm", "[2,0]"});
  expect_error([&] { layer_norm(zeros({2, 8}, Dtype::i32), good, good); }, {"layer_norm", "[2,8] i32"});
  expect_error([&] { layer_norm(zeros({2, 8}, Dtype::bf16), zeros({8}, Dtype::bf16), good); }, {"one dtype"});
}

}  // namespace
}  // namespace vigor
