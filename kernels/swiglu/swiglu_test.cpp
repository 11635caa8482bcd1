#include "kernels/swiglu/swiglu.h"

#include "autograd/graph.h"
#include "kernels/concat/concat.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return swiglu(in[0], in[1]); }
Tensor run_scaled(std::span<const Tensor> in) { return swiglu(in[0], in[1], 0.75); }

// The same from basic operations.
Tensor composed(std::span<const Tensor> in) { return silu(in[0] * 0.75) * in[1]; }

std::vector<Tensor> inputs(const Shape& sizes) {
  return {random(sizes, Dtype::f64, 1, -4, 4), random(sizes, Dtype::f64, 2)};
}

TEST(Swiglu, HandWorked) {
  // sigmoid(ln 3) = 3/4; with a = ln 3: y = 3/4 ln 3 up, and the slope is 3/4 (1 + ln 3 / 4).
  const double ln3 = std::log(3.0);
  const Tensor gate = set_requires_grad(from_values<double>({ln3 / 2, 0}, {1, 2}));
  const Tensor up = set_requires_grad(from_values<double>({2, 5}, {1, 2}));
  const Tensor y = swiglu(gate, up, 2), dy = from_values<double>({1, 10}, {1, 2});
  expect_values(y, {1.5 * ln3, 0}, 1e-14);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_values(grad(gate), {2 * 0.75 * (1 + ln3 / 4) * 2, 2 * 0.5 * 5 * 10}, 1e-13);
  expect_values(grad(up), {0.75 * ln3, 0}, 1e-14);
}

TEST(Swiglu, Gradients) {
  for (const Shape& sizes : {Shape{1}, Shape{3, 17}, Shape{2, 3, 8}}) {
    expect_gradients(run, inputs(sizes));
    expect_gradients(run_scaled, inputs(sizes));
  }
}

TEST(Swiglu, AgreesWithComposedForm) {
  const std::vector<Tensor> in = inputs({3, 5, 17});
  const Tensor dy = random({3, 5, 17}, Dtype::f64, 4);
  const Outcome fused = outcome_of(run_scaled, in, dy), plain = outcome_of(composed, in, dy);
  expect_close(fused.y, plain.y, 1e-14, 1e-14);
  for (size_t i = 0; i < 2; ++i) expect_close(fused.gradients[i], plain.gradients[i], 1e-14, 1e-14);
}

TEST(Swiglu, FastAgreesWithDefinition) {
  for (const Shape& sizes : {Shape{1}, Shape{17}, Shape{3, 33}, Shape{2, 3, 64}, Shape{40, 800}}) {
    SCOPED_TRACE(to_string(sizes));
    expect_close_to_f64(run_scaled, inputs(sizes), {Dtype::f32}, 1e-6, 2e-6);
    expect_close_to_f64(run_scaled, inputs(sizes), {Dtype::bf16}, 1e-3, 1e-2);
  }
}

TEST(Swiglu, ExtremeGatesStayFinite) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensor gate = set_requires_grad(converted(from_values<double>({-1e4, 1e4, -90, 90}, {4}), dtype));
    const Tensor up = full({4}, 1, dtype), dy = full({4}, 1, dtype);
    const Tensor y = swiglu(gate, up);
    expect_values(y, {0, 1e4, 0, 90}, 1e-30);
    backward(std::span(&y, 1), std::span(&dy, 1));
    expect_values(grad(gate), {0, 1, 0, 1}, 1e-30);
  }
}

TEST(Swiglu, SlicesOfOneProjectionAreNotCopied) {
  const Tensor both = set_requires_grad(random({3, 5, 34}));
  const auto halves = split(both, 17, -1);
  const Tensor y = swiglu(halves[0], halves[1]), dy = random({3, 5, 17}, Dtype::f32, 7);
  // What is saved are windows on the projection: two of its halves.
  EXPECT_EQ(saved_bytes(y), both.nbytes());
  const Tensor gate = clone(halves[0]), up = clone(halves[1]);
  const Outcome plain = outcome_of(run, {gate, up}, dy);
  expect_equal(y, plain.y);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_equal(grad(both), cat({plain.gradients[0], plain.gradients[1]}, -1));
}

TEST(Swiglu, StridedInputs) {
  const Tensor gate = random({3, 5, 17}), up = random({3, 5, 17}, Dtype::f32, 1);
  const Tensor expected = swiglu(gate, up);
  for (const Tensor& strided : strided_variants(gate)) expect_equal(swiglu(strided, up), expected);
  for (const Tensor& strided : strided_variants(up)) expect_equal(swiglu(gate, strided), expected);
}

TEST(Swiglu, OnlyWantedGradients) {
  const Tensor x = random({2, 8}), dy = random({2, 8}, Dtype::f32, 1);
  for (int wanted = 0; wanted < 2; ++wanted) {
    const Tensor gate = set_requires_grad(clone(x), wanted == 0), up = set_requires_grad(clone(x), wanted == 1);
    const Tensor y = swiglu(gate, up);
    backward(std::span(&y, 1), std::span(&dy, 1));
    EXPECT_EQ(grad(gate).defined(), wanted == 0);
    EXPECT_EQ(grad(up).defined(), wanted == 1);
  }
}

TEST(Swiglu, NoElements) {
  for (const Shape& sizes : {Shape{0, 4}, Shape{4, 0}}) {
    const Tensor x = set_requires_grad(zeros(sizes)), dy = zeros(sizes);
    const Tensor y = swiglu(x, x);
    EXPECT_EQ(y.shape(), sizes);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
}

TEST(Swiglu, Errors) {
  const Tensor x = zeros({2, 8});
  expect_error([&] { swiglu(x, zeros({2, 4})); }, {"swiglu: up", "[2,4] f32", "[2,8] f32"});
  expect_error([&] { swiglu(x, zeros({2, 8}, Dtype::bf16)); }, {"swiglu: up", "[2,8] bf16"});
  expect_error([&] { swiglu(zeros({2}, Dtype::i32), x); }, {"swiglu: gate", "[2] i32"});
  expect_error([&] { swiglu(x, Tensor()); }, {"swiglu", "undefined"});
}

}  // namespace
}  // namespace vigor
