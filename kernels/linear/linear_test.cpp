#include "kernels/linear/linear.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/gelu/gelu.h"
#include "kernels/matmul/matmul.h"
#include "kernels/views/views.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return linear(in[0], in[1], in[2]); }
Tensor run_without_bias(std::span<const Tensor> in) { return linear(in[0], in[1]); }
Tensor run_gelu(std::span<const Tensor> in) { return linear_gelu(in[0], in[1], in[2]); }

// The same from basic operations.
Tensor composed(std::span<const Tensor> in) {
  const Tensor rows = reshape(in[0], {-1, in[0].size(-1)});
  Shape sizes = in[0].shape();
  sizes[sizes.rank() - 1] = in[1].size(0);
  return reshape(matmul(rows, transpose(in[1], 0, 1)) + in[2], sizes);
}
Tensor composed_gelu(std::span<const Tensor> in) { return gelu(composed(in)); }

// x, weight [out,in], bias [out]
std::vector<Tensor> make_inputs(const Shape& x_shape, int64_t out) {
  return {random(x_shape, Dtype::f64, 1), random({out, x_shape.back()}, Dtype::f64, 2), random({out}, Dtype::f64, 3)};
}

struct Case {
  Shape x;
  int64_t out;
};
const std::vector<Case> kCases = {{{1}, 1}, {{5}, 3}, {{1, 17}, 33}, {{3, 5, 17}, 3}, {{33, 3}, 17}, {{2, 4, 64}, 128}};

TEST(Linear, HandWorked) {
  const Tensor x = from_values<double>({1, 2, 3, 4}, {2, 2});
  const Tensor weight = from_values<double>({1, 0, 10, 1, 0, -1}, {3, 2});
  const Tensor bias = from_values<double>({0.5, 0, 0}, {3});
  expect_values(linear(x, weight, bias), {1.5, 12, -2, 3.5, 34, -4});
  expect_values(linear(x, weight), {1, 12, -2, 3, 34, -4});
  expect_values(linear_gelu(x, weight, bias),
                {1.5 * 0.933192799, 12, -2 * 0.022750132, 3.5 * 0.999767371, 34, -4 * 3.16712e-5}, 1e-8);
}

TEST(Linear, Gradient) {
  for (const Case& c : kCases) {
    if (c.x.numel() > 300) continue;
    expect_gradients(run, make_inputs(c.x, c.out));
    expect_gradients(run_without_bias, make_inputs(c.x, c.out));
    expect_gradients(run_gelu, make_inputs(c.x, c.out));
  }
}

TEST(Linear, AgreesWithComposedForm) {
  for (const Case& c : kCases) {
    const std::vector<Tensor> inputs = make_inputs(c.x, c.out);
    const std::vector<std::pair<Operation, Operation>> forms = {{run, composed}, {run_gelu, composed_gelu}};
    for (const auto& [fused, plain] : forms) {
      const Tensor dy = random(fused(inputs).shape(), Dtype::f64, 4);
      const Outcome actual = outcome_of(fused, inputs, dy), expected = outcome_of(plain, inputs, dy);
      expect_close(actual.y, expected.y, 1e-13, 1e-12);
      for (size_t i = 0; i < inputs.size(); ++i) expect_close(actual.gradients[i], expected.gradients[i], 1e-12, 1e-12);
    }
  }
}

TEST(Linear, FastAgreesWithDefinition) {
  for (const Case& c : kCases)
    for (const Operation& f : {Operation(run), Operation(run_gelu)}) {
      const std::vector<Tensor> inputs = make_inputs(c.x, c.out);
      expect_close_to_f64(f, inputs, {Dtype::f32}, 1e-5, 1e-5);
      expect_close_to_f64(f, inputs, {Dtype::bf16}, 6e-2, 2e-2);
      expect_close_to_f64(f, inputs, {Dtype::f32, Dtype::bf16, Dtype::f32}, 5e-2, 1e-2);  // dweight is rounded to bf16
      expect_close_to_f64(f, inputs, {Dtype::bf16, Dtype::f32, Dtype::bf16}, 6e-2, 2e-2);
      expect_close_to_f64(f, inputs, {Dtype::bf16, Dtype::f32, Dtype::f32}, 6e-2, 2e-2);
    }
}

TEST(Linear, StridedInputs) {
  const std::vector<Tensor> in = make_inputs({3, 5, 17}, 9);
  for (const Operation& f : {Operation(run), Operation(run_gelu)}) {
    const Tensor dy = random({3, 5, 9}, Dtype::f64, 4);
    const Outcome expected = outcome_of(f, in, dy);
    for (size_t variant = 0; variant < 3; ++variant) {
      const Outcome actual =
          outcome_of(f, {strided_variants(in[0])[variant], strided_variants(in[1])[variant], with_gaps(in[2])}, dy);
      expect_close(actual.y, expected.y, 1e-13, 1e-12);
      for (size_t i = 0; i < in.size(); ++i) expect_close(actual.gradients[i], expected.gradients[i], 1e-12, 1e-12);
    }
  }
}

// Without a graph the values before GELU are not kept.
TEST(Linear, GeluWithoutGraph) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f64})
    for (const int64_t rows : {1, 3, 40}) {
      const Tensor x = random({rows, 33}, dtype), weight = random({70, 33}, dtype, 1), bias = random({70}, dtype, 2);
      const Tensor expected = linear_gelu(x, set_requires_grad(detach(weight)), bias);
      expect_equal(linear_gelu(x, weight, bias), expected);
    }
}

// A slice of a fused projection goes into the product as it is: no copy is saved.
TEST(Linear, RowSlicesAreNotCopied) {
  const Tensor x = row_slice(random({6, 17}));
  set_requires_grad(x);
  const Tensor y = linear(x, random({3, 17}, Dtype::f32, 1));
  EXPECT_EQ(variable_of(y)->node->saved()[0]->peek().storage(), x.storage());
}

TEST(Linear, ParameterGradientsGoIntoTheirBuffers) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f64})
    for (const Operation& f : {Operation(run), Operation(run_gelu)}) {
      const std::vector<Tensor> in = {random({6, 17}, dtype), random({5, 17}, dtype, 1), random({5}, dtype, 2)};
      const Tensor dy = random({6, 5}, dtype, 5);
      const Outcome once = outcome_of(f, in, dy);
      for (size_t i = 1; i < 3; ++i) {
        set_requires_grad(in[i]);
        set_grad_buffer(in[i], full(in[i].shape(), 7.0, dtype));  // old numbers that count as zero
      }
      for (int step = 0; step < 2; ++step) {
        const Tensor y = f(in);
        backward(std::span(&y, 1), std::span(&dy, 1));
      }
      const double tolerance = dtype == Dtype::bf16 ? 1e-2 : 1e-5;
      for (size_t i = 1; i < 3; ++i) expect_close(grad(in[i]), once.gradients[i] * 2.0, tolerance, tolerance);
    }
}

// Backward writes dpre over dy only when nobody else can see dy.
TEST(Linear, GeluBackwardLeavesTheCallersGradientAlone) {
  const std::vector<Tensor> in = make_inputs({4, 3}, 5);
  const Tensor dy = random({4, 5}, Dtype::f64, 4), before = clone(dy);
  const Outcome first = outcome_of(run_gelu, in, dy);
  expect_equal(dy, before);
  const Operation twice = [](std::span<const Tensor> leaves) {  // one gradient for both
    return run_gelu(leaves) + run_gelu(leaves);
  };
  const Outcome sum = outcome_of(twice, in, dy);
  for (size_t i = 0; i < in.size(); ++i) expect_close(sum.gradients[i], first.gradients[i] * 2.0, 1e-13, 1e-13);
}

TEST(Linear, NoRows) {
  const std::vector<Tensor> in = make_inputs({0, 4}, 3);
  const Outcome result = outcome_of(run, in, zeros({0, 3}, Dtype::f64));
  EXPECT_EQ(result.y.shape(), (Shape{0, 3}));
  expect_equal(result.gradients[1], zeros({3, 4}, Dtype::f64));
  expect_equal(result.gradients[2], zeros({3}, Dtype::f64));
}

TEST(Linear, Errors) {
  const Tensor weight = zeros({8, 6}), bias = zeros({8});
  expect_error([&] { linear(zeros({2, 5}), weight, bias); }, {"linear", "[8,6]", "must be 6", "[2,5] f32"});
  expect_error([&] { linear(zeros({2, 6}), weight, zeros({6})); }, {"linear: bias", "[out]=[8]", "[6] f32"});
  expect_error([&] { linear(zeros({2, 6}), zeros({8, 6}, Dtype::f64)); }, {"linear: weight", "[8,6] f64", "[2,6] f32"});
  expect_error([&] { linear(zeros({2, 6}), zeros({6})); }, {"linear: weight must be [out,in]", "[6] f32"});
  expect_error([&] { linear_gelu(zeros({2, 5}), weight, bias); }, {"linear_gelu", "must be 6"});
  expect_error([&] { linear_gelu(zeros({2, 6}), weight, Tensor()); }, {"linear_gelu", "bias"});
}

}  // namespace
}  // namespace vigor
