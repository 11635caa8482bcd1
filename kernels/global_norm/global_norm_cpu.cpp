#include "kernels/global_norm/global_norm_kernels.h"
#include "kernels/global_norm/global_norm_simd.h"
#include "kernels/parallel.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

// The definition, in f64.
double sum_of_squares(const double* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

template <class X>
double sum_of_squares(const X* x, int64_t n) {
  return VIGOR_PICK(sum_of_squares)(x, n);
}

}  // namespace

void block_squares_cpu(const TensorView& sums, const TensorView& x) {
  visit_float(x.dtype, "global_norm", [&]<class X>() {
    parallel_blocks(x.numel(), kNormBlock, [&](int64_t begin, int64_t end) {
      sums.as<double>()[begin / kNormBlock] = sum_of_squares(x.as<X>() + begin, end - begin);
    });
  });
}

void write_norm_cpu(StepState* state, const TensorView& sums, double max_norm) {
  double sum = 0;
  for (int64_t i = 0; i < sums.numel(); ++i) sum += sums.as<double>()[i];
  write_norm(*state, sum, max_norm);
}

}  // namespace vigor
