#include "kernels/elementwise/elementwise.h"
#include "kernels/rms_norm/rms_norm.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

Tensor run(std::span<const Tensor> in) { return rms_norm(in[0], in[1]); }

std::vector<Tensor> make_inputs(const Shape& shape) {
  const Shape parameter{shape.back()};
  return {random(shape, Dtype::f64, 1, -2, 3), random(parameter, Dtype::f64, 2, 0.5, 1.5)};
}

void expect_agreement(const Shape& shape) {
  SCOPED_TRACE(to_string(shape));
  expect_cuda_close_to_f64(run, make_inputs(shape), {Dtype::f32}, 1e-5, 1e-5);
  expect_cuda_close_to_f64(run, make_inputs(shape), {Dtype::bf16, Dtype::f32}, 1e-2, 1e-2);
  expect_cuda_close_to_f64(run, make_inputs(shape), {Dtype::bf16}, 1e-2, 1e-2);
}

TEST(RmsNormCuda, AgreesWithTheDefinition) {
  // Odd widths; a warp with idle lanes and a full one; a block of two warps; a row for which the registers do not
  // suffice.
  for (const Shape& shape :
       {Shape{1}, Shape{1, 17}, Shape{3, 5, 17}, Shape{35, 48}, Shape{9, 512}, Shape{3, 648}, Shape{1, 8200}})
    expect_agreement(shape);
}

TEST(RmsNormCuda, StridedInputs) {
  const std::vector<Tensor> inputs = make_inputs({3, 5, 16});
  for (const Tensor& strided : strided_variants(converted(inputs[0], Dtype::f32)))
    expect_cuda_close_to_f64(run, {strided, with_gaps(converted(inputs[1], Dtype::f32))}, {Dtype::f32}, 1e-5, 1e-5);
}

TEST(RmsNormCuda, WeightGradientsAddUpAndSomeAreNotWanted) {
  const Tensor x = on_cuda(random({70, 24})), dy = on_cuda(random({70, 24}, Dtype::f32, 5));
  const Tensor weight = on_cuda(full({24}, 1.0));
  const Outcome once = outcome_of(run, {x, weight}, dy);
  set_requires_grad(weight);
  set_grad_buffer(weight, on_cuda(full({24}, 7.0)));  // old numbers that count as zero
  for (int step = 0; step < 2; ++step) {
    const Tensor y = rms_norm(x, weight);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
  expect_close(on_host(grad(weight)), on_host(once.gradients[1]) * 2.0, 1e-6, 1e-6);
  const Tensor input = set_requires_grad(detach(x));
  const Tensor y = rms_norm(input, detach(weight));
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_equal(on_host(grad(input)), on_host(once.gradients[0]));
}

TEST(RmsNormCuda, NoRows) {
  const Tensor x = set_requires_grad(zeros({0, 8}, Dtype::f32, kCuda));
  const Tensor weight = set_requires_grad(full({8}, 1, Dtype::f32, kCuda));
  const Tensor y = rms_norm(x, weight), dy = zeros({0, 8}, Dtype::f32, kCuda);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_equal(on_host(grad(weight)), zeros({8}));
}

TEST(RmsNormCuda, F64IsRefused) {
  const Tensor x = zeros({2, 8}, Dtype::f64, kCuda), weight = zeros({8}, Dtype::f64, kCuda);
  expect_error([&] { rms_norm(x, weight); }, {"rms_norm: CUDA kernels compute in f32 and bf16", "f64"});
}

TEST(RmsNormCuda, MovesWhatTheCardSays) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const int64_t R = 64, C = 512;
    const double rows = static_cast<double>(size_of(dtype)) * R * C;
    const double parameters = rows;  // read once a row, from the caches
    const Tensor x = set_requires_grad(on_cuda(random({R, C}, dtype))), dy = on_cuda(random({R, C}, dtype));
    const Tensor weight = set_requires_grad(full({C}, 1, dtype, kCuda));
    const auto forward = [&] { return rms_norm(x, weight); };
    expect_bytes_moved("forward_in_registers", rows + parameters, rows + 4 * R, forward);
    const Tensor y = forward();
    const double sums = 4.0 * C * 8;  // of eight blocks of rows
    expect_bytes_moved("backward_in_registers", 2 * rows + parameters, rows + sums,
                       [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

}  // namespace
}  // namespace vigor
