#include "kernels/global_norm/global_norm_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// Four sums, because one alone would wait for the latency of every fma.
template <class X>
double squares(const X* x, int64_t n) {
  vdouble sum[4] = {};
  const auto add = [&](vfloat v, int k) {
    const vdouble low = widen_low(v), high = widen_high(v);
    sum[k] = fma(low, low, sum[k]);
    sum[k + 1] = fma(high, high, sum[k + 1]);
  };
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    add(load(x + i), 0);
    add(load(x + i + kLanes), 2);
  }
  for_each_vector(n - i, [&](int64_t j, auto lanes) { add(load(x + i + j, lanes), 0); });
  return horizontal_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

}  // namespace

double sum_of_squares(const float* x, int64_t n) { return squares(x, n); }
double sum_of_squares(const bf16* x, int64_t n) { return squares(x, n); }

}  // namespace vigor::VIGOR_ISA
