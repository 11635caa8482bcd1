#include "kernels/concat/concat.h"
#include "tests/support/cuda_testing.h"

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

}  // namespace
}  // namespace vigor
