#include "kernels/swiglu/swiglu.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

const Operation kSwiglu = [](std::span<const Tensor> in) { return swiglu(in[0], in[1], 0.75); };

std::vector<Tensor> inputs(const Shape& sizes) {
  return {random(sizes, Dtype::f64, 1, -4, 4), random(sizes, Dtype::f64, 2)};
}

TEST(SwigluCuda, AgreesWithTheDefinition) {
  for (const Shape& sizes : {Shape{1}, Shape{17}, Shape{3, 33}, Shape{2, 3, 64}, Shape{40, 104}, Shape{5, 1}}) {
    SCOPED_TRACE(to_string(sizes));
    expect_cuda_close_to_f64(kSwiglu, inputs(sizes), {Dtype::f32}, 1e-6, 2e-6);
    expect_cuda_close_to_f64(kSwiglu, inputs(sizes), {Dtype::bf16}, 1e-3, 1e-2);
  }
}

// Slices of a projection: rows that begin at multiples of 16 bytes, and rows that do not.
TEST(SwigluCuda, StridedInputs) {
  const Tensor both = random({6, 64});
  const auto half = [&](int64_t start) { return both.with_view(sliced(both, 1, start, start + 32, 1, "test")); };
  expect_cuda_close_to_f64(kSwiglu, {half(0), half(32)}, {Dtype::f32}, 1e-6, 2e-6);
  expect_cuda_close_to_f64(kSwiglu, {half(3), half(32)}, {Dtype::f32}, 1e-6, 2e-6);
  for (const Tensor& strided : strided_variants(random({3, 16})))
    expect_cuda_close_to_f64(kSwiglu, {strided, random({3, 16})}, {Dtype::f32}, 1e-6, 2e-6);
}

TEST(SwigluCuda, ExtremeGatesStayFinite) {
  const Tensor gate = set_requires_grad(on_cuda(from_values<float>({-1e4, 1e4, -90, 90}, {4})));
  const Tensor up = full({4}, 1, Dtype::f32, kCuda), dy = full({4}, 1, Dtype::f32, kCuda);
  const Tensor y = swiglu(gate, up);
  expect_values(on_host(y), {0, 1e4, 0, 90}, 1e-30);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_values(on_host(grad(gate)), {0, 1, 0, 1}, 1e-30);
}

TEST(SwigluCuda, NoElements) {
  for (const Shape& sizes : {Shape{0, 4}, Shape{4, 0}}) {
    const Tensor x = set_requires_grad(zeros(sizes, Dtype::f32, kCuda)), dy = zeros(sizes, Dtype::f32, kCuda);
    const Tensor y = swiglu(x, x);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
}

TEST(SwigluCuda, F64IsRefused) {
  const Tensor x = zeros({2, 8}, Dtype::f64, kCuda);
  expect_error([&] { swiglu(x, x); }, {"swiglu: CUDA kernels compute in f32 and bf16", "f64"});
}

TEST(SwigluCuda, MovesWhatTheCardSays) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const double pass = static_cast<double>(size_of(dtype)) * 64 * 512;
    const Tensor gate = set_requires_grad(on_cuda(random({64, 512}, dtype)));
    const Tensor up = set_requires_grad(on_cuda(random({64, 512}, dtype))), dy = on_cuda(random({64, 512}, dtype));
    expect_bytes_moved("map_kernel", 2 * pass, pass, [&] { swiglu(gate, up); });
    const Tensor y = swiglu(gate, up);
    expect_bytes_moved("backward_kernel", 3 * pass, 2 * pass, [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

}  // namespace
}  // namespace vigor
