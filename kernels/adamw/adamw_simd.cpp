#include "kernels/adamw/adamw_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {

void adamw_update(AdamWRange r) {
  for_each_vector(r.count, [&](int64_t i, auto lanes) {
    const vfloat g = load(r.grad + i, lanes) * r.clip_factor;
    const vfloat m0 = load(r.m + i, lanes);
    const vfloat m = fma(g - m0, r.one_minus_beta1, m0);
    const vfloat v = fma(g * g, broadcast(r.one_minus_beta2), load(r.v + i, lanes) * r.beta2);
    const vfloat denominator = fma(sqrt(v), r.rsqrt_correction2, r.eps);
    store(r.m + i, m, lanes);
    store(r.v + i, v, lanes);
    store(r.param + i, load(r.param + i, lanes) * r.decay - r.step_size * m / denominator, lanes);
  });
}

}  // namespace vigor::VIGOR_ISA
