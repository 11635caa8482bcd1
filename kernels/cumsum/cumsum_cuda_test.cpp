#include "kernels/cumsum/cumsum.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(CumsumCuda, EveryDimensionAndGradient) {
  // A block for a line (short, ragged and of several stretches), a thread for a line (40 and 65 side by side).
  for (const Shape& sizes : {Shape{1}, Shape{33}, Shape{600}, Shape{3, 17}, Shape{5, 40}, Shape{2, 9, 65}})
    for (int dim = 0; dim < sizes.rank(); ++dim) {
      SCOPED_TRACE(to_string(sizes) + " dim " + std::to_string(dim));
      const Operation f = [dim](std::span<const Tensor> in) { return cumsum(in[0], dim); };
      expect_cuda_close_to_f64(f, {random(sizes, Dtype::f64)}, {Dtype::f32}, 1e-6, 1e-6);
      expect_cuda_close_to_f64(f, {random(sizes, Dtype::f64)}, {Dtype::bf16}, 1e-3, 8e-3);
    }
}

TEST(CumsumCuda, StridedInputs) {
  const Tensor x = random({3, 5, 37});
  for (int dim = 0; dim < 3; ++dim)
    for (const Tensor& strided : strided_variants(x))
      expect_equal(on_host(cumsum(on_cuda_strided(strided), dim)), on_host(cumsum(on_cuda(x), dim)));
}

TEST(CumsumCuda, CarriesInDouble) {
  // 0.1 is not a float; 3000 of them added in f32 would be off by 1e-5.
  const Tensor y = on_host(cumsum(full({3000}, 0.1, Dtype::f32, kCuda), 0));
  expect_equal(y, cumsum(full({3000}, 0.1), 0));
}

TEST(CumsumCuda, NoElements) {
  EXPECT_EQ(cumsum(zeros({0, 4}, Dtype::f32, kCuda), 0).shape(), (Shape{0, 4}));
  EXPECT_EQ(cumsum(zeros({4, 0}, Dtype::f32, kCuda), 0).shape(), (Shape{4, 0}));
}

TEST(CumsumCuda, BytesMoved) {
  const Tensor x = on_cuda(random({64, 512}));
  const auto n = static_cast<double>(x.nbytes());
  expect_bytes_moved("cumsum_line_kernel", n, n, [&] { cumsum(x, 1); });
  expect_bytes_moved("cumsum_side_by_side_kernel", n, n, [&] { cumsum(x, 0); });
}

}  // namespace
}  // namespace vigor
