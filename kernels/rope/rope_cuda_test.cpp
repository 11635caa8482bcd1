#include "kernels/rope/rope.h"
#include "kernels/rope/rope_testing.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

// The offsets lie on the device of x.
Operation turned(const RopeOptions& options) {
  return [options](std::span<const Tensor> in) {
    RopeOptions there = options;
    if (there.offsets.defined()) there.offsets = to_device(there.offsets, in[0].device());
    return rope(in[0], there);
  };
}

TEST(RopeCuda, AgreesWithTheDefinition) {
  const RopeOptions options{.theta = 1e11, .scale = 0.39, .offsets = from_values<int32_t>({100000, 0}, {2})};
  // One pair and the most; odd halves; a step more than a block owns; one step.
  for (const Shape& sizes :
       {Shape{2, 3, 1, 2}, Shape{2, 1, 1, 512}, Shape{2, 3, 2, 10}, Shape{2, 9, 3, 64}, Shape{2, 1, 8, 128}}) {
    SCOPED_TRACE(to_string(sizes));
    for (const RopeOptions& o : {options, RopeOptions{}}) {
      expect_cuda_close_to_f64(turned(o), {random(sizes, Dtype::f64)}, {Dtype::f32}, 1e-6, 1e-6);
      expect_cuda_close_to_f64(turned(o), {random(sizes, Dtype::f64)}, {Dtype::bf16}, 1e-5, 8e-3);
    }
  }
}

TEST(RopeCuda, SineAndCosineAreExactAtEveryPosition) { expect_precise_angles(kCuda); }

TEST(RopeCuda, MatchesTransformers) {
  const RopeOptions options{
      .theta = 1e11, .offsets = on_cuda(clone(fixture("rope_transformers", "offsets"))), .transformers_angles = true};
  const Tensor y = rope(on_cuda(clone(fixture("rope_transformers", "x"))), options);
  expect_close(on_host(y), fixture("rope_transformers", "y"), 1e-6);
}

TEST(RopeCuda, StridedInputs) {
  const Tensor x = random({2, 3, 4, 16});
  for (const Tensor& strided : strided_variants(x))
    expect_cuda_close_to_f64(turned({}), {strided}, {Dtype::f32}, 1e-6, 1e-6);
  // The queries of a fused projection.
  const Tensor qkv = random({2, 3, 8, 16});
  const Tensor q = qkv.with_view(sliced(qkv, 2, 0, 4, 1, "test"));
  expect_cuda_close_to_f64(turned({}), {q}, {Dtype::f32}, 1e-6, 1e-6);
}

TEST(RopeCuda, NoElements) { EXPECT_EQ(rope(zeros({2, 0, 2, 4}, Dtype::f32, kCuda)).shape(), (Shape{2, 0, 2, 4})); }

TEST(RopeCuda, F64IsRefused) {
  const Tensor x = zeros({1, 1, 1, 8}, Dtype::f64, kCuda);
  expect_error([&] { rope(x); }, {"rope: CUDA kernels compute in f32 and bf16", "f64"});
}

TEST(RopeCuda, MovesWhatTheCardSays) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const int64_t B = 2, T = 16, H = 4, P = 64;
    const double pass = static_cast<double>(size_of(dtype)) * B * T * H * P;
    const Tensor x = set_requires_grad(on_cuda(random({B, T, H, P}, dtype))), dy = on_cuda(random({B, T, H, P}, dtype));
    const auto forward = [&] { return rope(x, {.theta = 1e11}); };
    expect_bytes_moved("rope_kernel", pass, pass, forward);
    const Tensor y = forward();
    expect_bytes_moved("rope_kernel", pass, pass, [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

}  // namespace
}  // namespace vigor
