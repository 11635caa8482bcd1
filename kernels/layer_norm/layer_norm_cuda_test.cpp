#include "kernels/elementwise/elementwise.h"
#include "kernels/kernel_version.h"
#include "kernels/layer_norm/layer_norm.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

constexpr int kVersions = 3;

Tensor run(std::span<const Tensor> in) { return layer_norm(in[0], in[1], in[2]); }

std::vector<Tensor> make_inputs(const Shape& shape) {
  const Shape parameter{shape.back()};
  return {random(shape, Dtype::f64, 1, -2, 3), random(parameter, Dtype::f64, 2, 0.5, 1.5),
          random(parameter, Dtype::f64, 3)};
}

void expect_agreement(const Shape& shape) {
  SCOPED_TRACE(to_string(shape));
  expect_cuda_close_to_f64(run, make_inputs(shape), {Dtype::f32}, 1e-5, 1e-5);
  expect_cuda_close_to_f64(run, make_inputs(shape), {Dtype::bf16, Dtype::f32}, 1e-2, 1e-2);
  expect_cuda_close_to_f64(run, make_inputs(shape), {Dtype::bf16}, 1e-2, 1e-2);
}

TEST(LayerNormCuda, EveryVersionAgreesWithTheDefinition) {
  for (int version = 1; version <= kVersions; ++version) {
    SCOPED_TRACE("version " + std::to_string(version));
    const KernelVersionScope scope("layer_norm", version);
    for (const Shape& shape : {Shape{1}, Shape{1, 17}, Shape{3, 5, 17}, Shape{35, 48}, Shape{2, 256}})
      expect_agreement(shape);
  }
}

TEST(LayerNormCuda, WidthsOfTheDefaultVersion) {
  // A full warp, a block of two warps with idle lanes, and a row for which the registers do not suffice.
  for (const Shape& shape : {Shape{9, 512}, Shape{3, 648}, Shape{1, 8200}}) expect_agreement(shape);
}

TEST(LayerNormCuda, LargeMeanCostsNoDigits) {
  std::vector<Tensor> inputs = make_inputs({4, 32});
  double* x = inputs[0].data<double>();
  for (int64_t i = 0; i < inputs[0].numel(); ++i) x[i] += 1000;
  for (int version = 1; version <= kVersions; ++version) {
    const KernelVersionScope scope("layer_norm", version);
    expect_cuda_close_to_f64(run, inputs, {Dtype::f32}, 1e-4, 1e-4);
  }
}

TEST(LayerNormCuda, StridedInputs) {
  const std::vector<Tensor> inputs = make_inputs({3, 5, 16});
  for (const Tensor& strided : strided_variants(converted(inputs[0], Dtype::f32)))
    expect_cuda_close_to_f64(run, {strided, with_gaps(converted(inputs[1], Dtype::f32)), inputs[2]}, {Dtype::f32}, 1e-5,
                             1e-5);
}

TEST(LayerNormCuda, ParameterGradientsAddUpAndSomeAreNotWanted) {
  const Tensor x = on_cuda(random({70, 24})), dy = on_cuda(random({70, 24}, Dtype::f32, 5));
  const Tensor weight = on_cuda(full({24}, 1.0)), bias = on_cuda(zeros({24}));
  const Outcome once = outcome_of(run, {x, weight, bias}, dy);
  for (const Tensor* leaf : {&weight, &bias}) {
    set_requires_grad(*leaf);
    set_grad_buffer(*leaf, on_cuda(full({24}, 7.0)));  // old numbers that count as zero
  }
  for (int step = 0; step < 2; ++step) {
    const Tensor y = layer_norm(x, weight, bias);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
  expect_close(on_host(grad(weight)), on_host(once.gradients[1]) * 2.0, 1e-6, 1e-6);
  expect_close(on_host(grad(bias)), on_host(once.gradients[2]) * 2.0, 1e-6, 1e-6);
  const Tensor input = set_requires_grad(detach(x));
  const Tensor y = layer_norm(input, detach(weight), detach(bias));
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_equal(on_host(grad(input)), on_host(once.gradients[0]));
}

TEST(LayerNormCuda, NoRows) {
  const Tensor x = set_requires_grad(zeros({0, 8}, Dtype::f32, kCuda));
  const Tensor weight = set_requires_grad(full({8}, 1, Dtype::f32, kCuda)), bias = zeros({8}, Dtype::f32, kCuda);
  const Tensor y = layer_norm(x, weight, bias), dy = zeros({0, 8}, Dtype::f32, kCuda);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_equal(on_host(grad(weight)), zeros({8}));
}

TEST(LayerNormCuda, F64IsRefused) {
  const Tensor x = zeros({2, 8}, Dtype::f64, kCuda), parameter = zeros({8}, Dtype::f64, kCuda);
  expect_error([&] { layer_norm(x, parameter, parameter); },
               {"layer_norm: CUDA kernels compute in f32 and bf16", "f64"});
}

TEST(LayerNormCuda, MovesWhatTheCardSays) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const int64_t R = 64, C = 512;
    const double rows = static_cast<double>(size_of(dtype)) * R * C;
    const double parameters = rows;  // each of the two, read once a row, from the caches
    const Tensor x = set_requires_grad(on_cuda(random({R, C}, dtype))), dy = on_cuda(random({R, C}, dtype));
    const Tensor weight = set_requires_grad(full({C}, 1, dtype, kCuda)),
                 bias = set_requires_grad(zeros({C}, dtype, kCuda));
    const auto forward = [&] { return layer_norm(x, weight, bias); };
    expect_bytes_moved("forward_v3", rows + 2 * parameters, rows + 8 * R, forward);
    const Tensor y = forward();
    const double sums = 2.0 * 4 * C * 8;  // of eight blocks of rows
    expect_bytes_moved("backward_v3", 2 * rows + parameters, rows + sums,
                       [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

// What coalescing is: version 1 reads as many bytes as version 2, but from eight times as many sectors of 32 bytes.
TEST(LayerNormCuda, VersionsDifferInSectors) {
  const Tensor x = on_cuda(random({64, 256})), weight = on_cuda(full({256}, 1)), bias = on_cuda(zeros({256}));
  uint64_t sectors[kVersions + 1] = {};
  for (int version = 1; version <= kVersions; ++version) {
    const KernelVersionScope scope("layer_norm", version);
    const auto counters = count_kernels("forward_v", [&] { layer_norm(x, weight, bias); });
    if (!counters) GTEST_SKIP() << "only the emulated device counts";
    sectors[version] = counters->global_sectors;
  }
  EXPECT_GT(sectors[1], 4 * sectors[2]);
  EXPECT_GT(sectors[2], sectors[3]);
}

}  // namespace
}  // namespace vigor
