#include "kernels/low_rank_linear/low_rank_linear.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/linear/linear.h"
#include "kernels/matmul/matmul.h"
#include "tests/support/against_f64.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return low_rank_linear(in[0], in[1], in[2], in[3]); }

// The same as one linear layer with the weight formed.
Tensor composed(std::span<const Tensor> in) { return linear(in[0], matmul(in[1], in[2]), in[3]); }

// x, lora_a [out,r], lora_b [r,in], bias [out]
std::vector<Tensor> make_inputs(const Shape& x_shape, int64_t out, int64_t r) {
  return {random(x_shape, Dtype::f64, 1), random({out, r}, Dtype::f64, 2), random({r, x_shape.back()}, Dtype::f64, 3),
          random({out}, Dtype::f64, 4)};
}

struct Case {
  Shape x;
  int64_t out, r;
};
const std::vector<Case> kCases = {
    {{1}, 1, 1}, {{5}, 3, 2}, {{3, 5, 17}, 33, 7}, {{33, 3}, 17, 1}, {{2, 4, 64}, 96, 16}};

TEST(LowRankLinear, HandWorked) {
  const Tensor x = from_values<double>({1, 2, 3, 4}, {2, 2});
  const Tensor lora_b = from_values<double>({1, 1}, {1, 2});  // h = 3, 7
  const Tensor lora_a = from_values<double>({1, 10, -1}, {3, 1});
  expect_values(low_rank_linear(x, lora_a, lora_b), {3, 30, -3, 7, 70, -7});
  expect_values(low_rank_linear(x, lora_a, lora_b, from_values<double>({1, 2, 3}, {3})), {4, 32, 0, 8, 72, -4});
}

TEST(LowRankLinear, Gradient) {
  for (const Case& c : kCases)
    if (c.x.numel() < 300) expect_gradients(run, make_inputs(c.x, c.out, c.r));
}

TEST(LowRankLinear, AgreesWithComposedForm) {
  for (const Case& c : kCases) {
    const std::vector<Tensor> inputs = make_inputs(c.x, c.out, c.r);
    const Tensor dy = random(run(inputs).shape(), Dtype::f64, 5);
    const Outcome actual = outcome_of(run, inputs, dy), expected = outcome_of(composed, inputs, dy);
    expect_close(actual.y, expected.y, 1e-12, 1e-12);
    for (size_t i = 0; i < inputs.size(); ++i) expect_close(actual.gradients[i], expected.gradients[i], 1e-11, 1e-11);
  }
}

TEST(LowRankLinear, FastAgreesWithDefinition) {
  for (const Case& c : kCases) {
    expect_close_to_f64(run, make_inputs(c.x, c.out, c.r), {Dtype::f32}, 2e-5, 2e-5);
    expect_close_to_f64(run, make_inputs(c.x, c.out, c.r), {Dtype::bf16}, 8e-2, 2e-2);
    expect_close_to_f64(run, make_inputs(c.x, c.out, c.r), {Dtype::bf16, Dtype::f32, Dtype::f32, Dtype::bf16}, 8e-2,
                        2e-2);
  }
}

TEST(LowRankLinear, StridedInputs) {
  const std::vector<Tensor> in = make_inputs({3, 5, 17}, 9, 4);
  const Tensor dy = random({3, 5, 9}, Dtype::f64, 5);
  const Outcome expected = outcome_of(run, in, dy);
  for (size_t variant = 0; variant < 3; ++variant) {
    std::vector<Tensor> strided;
    for (const Tensor& x : in) strided.push_back(strided_variants(x)[variant]);
    const Outcome actual = outcome_of(run, strided, dy);
    expect_close(actual.y, expected.y, 1e-13, 1e-12);
    for (size_t i = 0; i < in.size(); ++i) expect_close(actual.gradients[i], expected.gradients[i], 1e-12, 1e-12);
  }
}

// Each gradient alone: what is not wanted must not be needed either.
TEST(LowRankLinear, SingleGradients) {
  const std::vector<Tensor> in = make_inputs({4, 6}, 5, 2);
  const Tensor dy = random({4, 5}, Dtype::f64, 5);
  const Outcome all = outcome_of(run, in, dy);
  for (size_t wanted = 0; wanted < in.size(); ++wanted) {
    std::vector<Tensor> leaves;
    for (const Tensor& x : in) leaves.push_back(detach(x));
    set_requires_grad(leaves[wanted]);
    const Tensor y = run(leaves);
    backward(std::span(&y, 1), std::span(&dy, 1));
    for (size_t i = 0; i < in.size(); ++i) {
      if (i == wanted) expect_equal(grad(leaves[i]), all.gradients[i]);
      else EXPECT_FALSE(grad(leaves[i]).defined());
    }
  }
}

TEST(LowRankLinear, Errors) {
  const Tensor x = zeros({2, 6}), a = zeros({8, 3}), b = zeros({3, 6});
  expect_error(
      [&] {
        low_rank_linear(x, zeros({8, 4}), b);
      },
      {"low_rank_linear", "[8,4] f32", "[3,6] f32", "[2,6] f32"});
  expect_error([&] { low_rank_linear(zeros({2, 5}), a, b); }, {"low_rank_linear", "[2,5] f32"});
  expect_error([&] { low_rank_linear(x, a, b, zeros({6})); }, {"low_rank_linear: bias", "[out]=[8]", "[6] f32"});
  expect_error([&] { low_rank_linear(x, a, zeros({3, 6}, Dtype::f64)); }, {"low_rank_linear: lora_b", "[3,6] f64"});
}

}  // namespace
}  // namespace vigor
