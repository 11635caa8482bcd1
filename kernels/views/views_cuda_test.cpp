#include "kernels/views/views.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

// Every view and its gradient: made of the raw copies and sums, which have CUDA kernels.
TEST(ViewsCuda, ValuesAndGradients) {
  const auto check = [](const Shape& sizes, const std::function<Tensor(const Tensor&)>& f) {
    SCOPED_TRACE(to_string(sizes));
    const Operation operation = [&f](std::span<const Tensor> in) { return f(in[0]); };
    expect_cuda_close_to_f64(operation, {random(sizes, Dtype::f64)}, {Dtype::f32}, 2e-6, 1e-6);
    expect_cuda_close_to_f64(operation, {random(sizes, Dtype::f64)}, {Dtype::bf16}, 1e-3, 8e-3);
  };
  check({4, 6}, [](const Tensor& x) { return reshape(x, {3, 8}); });
  check({4, 6}, [](const Tensor& x) { return reshape(transpose(x, 0, 1), {3, 8}); });
  check({2, 3, 17}, [](const Tensor& x) { return contiguous(permute(x, {2, 0, 1})); });
  check({3, 17, 2}, [](const Tensor& x) { return transpose(x, 1, 2); });
  check({5, 17}, [](const Tensor& x) { return slice(x, 1, 3, -2); });
  check({5, 17}, [](const Tensor& x) { return slice(x, -2, 1, 5, 2); });
  check({3, 1}, [](const Tensor& x) { return expand(x, {2, 3, 5}); });
}

// Through a tile of shared memory, and where there is none: odd sizes, every width of an element, batches, and a
// transposed matrix inside a larger one.
TEST(ViewsCuda, TransposingCopies) {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::u8})
    for (const Shape& sizes : {Shape{64, 32}, Shape{33, 65}, Shape{3, 40, 70}, Shape{1, 100}}) {
      SCOPED_TRACE(std::string(name_of(dtype)) + " " + to_string(sizes));
      const Tensor x = converted(random(sizes, Dtype::f64, 1, 0, 200), dtype);
      for_each_warp_order(
          [&] { expect_equal(on_host(contiguous(transpose(on_cuda(x), -2, -1))), contiguous(transpose(x, -2, -1))); });
    }
  const Tensor x = random({40, 50, 34});
  expect_equal(on_host(contiguous(permute(on_cuda(x), {2, 0, 1}))), contiguous(permute(x, {2, 0, 1})));
  expect_equal(on_host(contiguous(permute(on_cuda(x), {2, 1, 0}))), contiguous(permute(x, {2, 1, 0})));
  const Tensor part = slice(x, 2, 1, 33);
  expect_equal(on_host(contiguous(transpose(on_cuda_strided(part), 1, 2))), contiguous(transpose(part, 1, 2)));
}

// A transposing copy reads and writes whole sectors, which one without the tile in shared memory could not.
TEST(ViewsCuda, BytesMoved) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const Tensor x = on_cuda(random({128, 256}, dtype));
    const auto n = static_cast<double>(x.nbytes());
    expect_bytes_moved("transpose_kernel", n, n, [&] { contiguous(transpose(x, 0, 1)); });
  }
}

}  // namespace
}  // namespace vigor
