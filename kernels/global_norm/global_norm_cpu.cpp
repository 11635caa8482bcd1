#include "kernels/global_norm/global_norm_kernels.h"
#include "kernels/global_norm/global_norm_simd.h"
#include "kernels/parallel.h"

namespace vigor {
namespace {

constexpr int64_t kBlock = 1 << 16;

double square_sum_naive(const double* x, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += x[i] * x[i];
  return total;
}

}  // namespace

int64_t square_sum_blocks(int64_t count) { return (count + kBlock - 1) / kBlock; }

double square_sum_cpu(const TensorView& x, const TensorView& partial) {
  double* sums = partial.as<double>();
  parallel_blocks(x.numel(), kBlock, [&](int64_t begin, int64_t end) {
    sums[begin / kBlock] = x.dtype == Dtype::f64 ? square_sum_naive(x.as<double>() + begin, end - begin)
                                                 : VIGOR_PICK(square_sum)(x.as<float>() + begin, end - begin);
  });
  double total = 0;
  for (int64_t block = 0; block < partial.numel(); ++block) total += sums[block];
  return total;
}

}  // namespace vigor
