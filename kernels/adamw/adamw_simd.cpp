#include "kernels/adamw/adamw_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {

void adamw(float* p, const float* g, float* m, float* v, int64_t n, const AdamWFactors<float>& f) {
  for_each_vector(n, [&](int64_t i, auto lanes) {
    const vfloat gradient = load(g + i, lanes) * f.clip;
    const vfloat mean = fma(load(m + i, lanes), f.beta1, gradient * f.one_minus_beta1);
    const vfloat square = fma(load(v + i, lanes), f.beta2, gradient * gradient * f.one_minus_beta2);
    const vfloat denominator = fma(sqrt(square), f.denominator_scale, f.eps);
    store(m + i, mean, lanes);
    store(v + i, square, lanes);
    store(p + i, fma(mean / denominator, -f.step_size, load(p + i, lanes) * f.decay), lanes);
  });
}

}  // namespace vigor::VIGOR_ISA
