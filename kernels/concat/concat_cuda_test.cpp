#include "kernels/concat/concat.h"
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"

namespace vigor {
namespace {

using namespace vigor::testing;

TEST(ConcatCuda, ValuesAndGradients) {
  for (int dim = 0; dim < 3; ++dim) {
    Shape other{3, 5, 8};
    other[dim] = 4;
    const Operation joined = [dim](std::span<const Tensor> in) { return cat({in[0], in[1], in[0]}, dim); };
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
      expect_cuda_close_to_f64(joined, {random({3, 5, 8}, Dtype::f64), random(other, Dtype::f64, 1)}, {dtype}, 1e-6,
                               8e-3);
  }
}

TEST(ConcatCuda, SplitPieceWithoutGradientCountsAsZero) {
  const Operation last = [](std::span<const Tensor> in) { return split(in[0], {2, 3, 12}, 1)[2]; };
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16})
    expect_cuda_close_to_f64(last, {random({4, 17}, Dtype::f64)}, {dtype}, 0, 0);
}

// Backward of a fused projection: each piece is read once and written once to its place; no zeros, no additions.
TEST(ConcatCuda, SplitMovesEachGradientOnce) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const std::vector<int64_t> sizes = {64, 96, 32};
    const Tensor x = set_requires_grad(zeros({32, 192}, dtype, kCuda));
    const std::vector<Tensor> pieces = split(x, sizes, 1);
    std::vector<Tensor> gradients;
    for (int64_t size : sizes) gradients.push_back(on_cuda(random({32, size}, dtype)));
    const char* every_kernel = "";
    const auto bytes = static_cast<double>(x.nbytes());
    expect_bytes_moved(every_kernel, bytes, bytes, [&] { backward(pieces, gradients); });
    expect_equal(on_host(grad(x)), on_host(cat(gradients, 1)));
  }
}

}  // namespace
}  // namespace vigor
