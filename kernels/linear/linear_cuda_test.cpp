#include "kernels/elementwise/elementwise.h"
#include "kernels/linear/linear.h"
#include "tests/support/cuda_testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return linear(in[0], in[1], in[2]); }
Tensor run_without_bias(std::span<const Tensor> in) { return linear(in[0], in[1]); }
Tensor run_gelu(std::span<const Tensor> in) { return linear_gelu(in[0], in[1], in[2]); }

// x, weight [out,in], bias [out]
std::vector<Tensor> make_inputs(const Shape& x_shape, int64_t out) {
  return {random(x_shape, Dtype::f64, 1), random({out, x_shape.back()}, Dtype::f64, 2), random({out}, Dtype::f64, 3)};
}

struct Case {
  Shape x;
  int64_t out;
};
const std::vector<Case> kCases = {{{1}, 1}, {{5}, 3}, {{3, 5, 17}, 3}, {{33, 3}, 17}, {{2, 16, 64}, 48}};

TEST(LinearCuda, AgreesWithDefinition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(to_string(c.x));
    const std::vector<Tensor> in = make_inputs(c.x, c.out);
    for (const Operation& f : {Operation(run), Operation(run_gelu)}) {
      expect_cuda_close_to_f64(f, in, {Dtype::f32}, 1e-5, 1e-5);
      expect_cuda_close_to_f64(f, in, {Dtype::bf16}, 6e-2, 2e-2);
    }
    expect_cuda_close_to_f64(run_without_bias, {in[0], in[1]}, {Dtype::f32}, 1e-5, 1e-5);
  }
}

TEST(LinearCuda, MixedDtypes) {
  const std::vector<Tensor> in = make_inputs({5, 17}, 9);
  expect_cuda_close_to_f64(run, in, {Dtype::f32, Dtype::bf16, Dtype::f32}, 5e-2, 1e-2);
  expect_cuda_close_to_f64(run_gelu, in, {Dtype::bf16, Dtype::f32, Dtype::bf16}, 6e-2, 2e-2);
  expect_cuda_close_to_f64(run_gelu, in, {Dtype::bf16, Dtype::f32, Dtype::f32}, 6e-2, 2e-2);
}

TEST(LinearCuda, StridedInputs) {
  const std::vector<Tensor> in = make_inputs({3, 5, 17}, 9);
  for (size_t variant = 0; variant < 3; ++variant) {
    std::vector<Tensor> strided;
    for (size_t i = 0; i < 2; ++i) strided.push_back(strided_variants(converted(in[i], Dtype::f32))[variant]);
    strided.push_back(with_gaps(converted(in[2], Dtype::f32)));
    expect_cuda_close_to_f64(run_gelu, strided, {Dtype::f32}, 1e-5, 1e-5);
  }
}

// The first step overwrites the old numbers in the buffers, the second adds.
TEST(LinearCuda, ParameterGradientsGoIntoTheirBuffers) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const std::vector<Tensor> in = {random({6, 16}, dtype), random({8, 16}, dtype, 1), random({8}, dtype, 2)};
    const Tensor dy = random({6, 8}, dtype, 5);
    const Outcome once = outcome_of(run_gelu, in, dy);
    std::vector<Tensor> there;
    for (const Tensor& x : in) there.push_back(on_cuda(x));
    for (size_t i = 1; i < 3; ++i) {
      set_requires_grad(there[i]);
      set_grad_buffer(there[i], full(in[i].shape(), 7.0, dtype, kCuda));
    }
    for (int step = 0; step < 2; ++step) {
      const Tensor y = run_gelu(there), up = on_cuda(dy);
      backward(std::span(&y, 1), std::span(&up, 1));
    }
    const double tolerance = dtype == Dtype::bf16 ? 3e-2 : 1e-5;
    for (size_t i = 1; i < 3; ++i) expect_close(on_host(grad(there[i])), once.gradients[i] * 2.0, tolerance, tolerance);
  }
}

TEST(LinearCuda, NoRows) {
  const Tensor x = zeros({0, 4}, Dtype::f32, kCuda), weight = on_cuda(random({3, 4})), bias = on_cuda(random({3}));
  for (const Operation& f : {Operation(run), Operation(run_gelu)}) {
    const Outcome result = outcome_of(f, {x, weight, bias}, zeros({0, 3}, Dtype::f32, kCuda));
    EXPECT_EQ(result.y.shape(), (Shape{0, 3}));
    expect_equal(on_host(result.gradients[1]), zeros({3, 4}));
    expect_equal(on_host(result.gradients[2]), zeros({3}));
  }
}

TEST(LinearCuda, F64IsRefused) {
  const Tensor x = on_cuda(random({2, 4}, Dtype::f64)), weight = on_cuda(random({3, 4}, Dtype::f64));
  expect_error([&] { linear(x, weight); }, {"gemm: on CUDA", "f32 or bf16", "f64"});
}

}  // namespace
}  // namespace vigor
