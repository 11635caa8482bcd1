#include "kernels/squared_relu/squared_relu.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(SquaredReluCuda, EqualsTheDefinition) {
  const Operation f = [](std::span<const Tensor> in) { return squared_relu(in[0]); };
  for (const Shape& sizes : {Shape{}, Shape{1}, Shape{17}, Shape{64}, Shape{33, 3}, Shape{40, 104}, Shape{0, 4}}) {
    SCOPED_TRACE(to_string(sizes));
    expect_cuda_close_to_f64(f, {random(sizes, Dtype::f64)}, {Dtype::f32}, 1e-7, 1e-6);
    expect_cuda_close_to_f64(f, {random(sizes, Dtype::f64)}, {Dtype::bf16}, 1e-3, 2e-2);
  }
  for (const Tensor& strided : strided_variants(random({5, 19})))
    expect_equal(on_host(squared_relu(on_cuda_strided(strided))), squared_relu(strided));
}

TEST(SquaredReluCuda, ElementsThatAreNotAligned) {
  const Tensor memory = on_cuda(random({65}, Dtype::bf16));
  const Tensor x = memory.with_view(sliced(memory, 0, 1, 65, 1, "test"));  // begins at byte 2: no packs
  expect_equal(on_host(squared_relu(x)), squared_relu(on_host(x)));
}

TEST(SquaredReluCuda, NotANumberGetsThrough) {
  EXPECT_TRUE(std::isnan(on_host(squared_relu(full({}, NAN, Dtype::f32, kCuda))).item<float>()));
}

// What the card says, counted by the emulated device.
TEST(SquaredReluCuda, BytesMoved) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = set_requires_grad(on_cuda(random({64, 256}, dtype))), dy = on_cuda(random({64, 256}, dtype, 1));
    const auto n = static_cast<double>(x.nbytes());
    Tensor y;
    expect_bytes_moved("forward_kernel", n, n, [&] { y = squared_relu(x); });
    expect_bytes_moved("backward_kernel", 2 * n, n, [&] { backward(std::span(&y, 1), std::span(&dy, 1)); });
  }
}

}  // namespace
}  // namespace vigor
