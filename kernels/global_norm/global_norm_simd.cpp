#include "kernels/global_norm/global_norm_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {

// Squares are added in f64 from the start: f32 squares overflow at 1.8e19, and a gradient may be that large for a step.
double square_sum(const float* x, int64_t count) {
  vdouble low[2] = {}, high[2] = {};
  int which = 0;  // two chains, so that additions overlap
  for_each_vector(count, [&](int64_t i, auto lanes) {
    const vfloat v = load(x + i, lanes);
    const vdouble a = widen_low(v), b = widen_high(v);
    low[which] = fma(a, a, low[which]);
    high[which] = fma(b, b, high[which]);
    which ^= 1;
  });
  return horizontal_sum((low[0] + low[1]) + (high[0] + high[1]));
}

}  // namespace vigor::VIGOR_ISA
