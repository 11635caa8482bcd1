#include "kernels/adamw/adamw_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// 0 in place of numbers so small that the next product might leave the normal range. The moments of a token that is no
// longer seen shrink step by step, would stay at the smallest subnormal number for ever, and each operation on one
// costs x86 well over a hundred cycles.
VIGOR_INLINE vfloat flush_tiny(vfloat x) { return select(abs(x) < 1e-36f, zero(), x); }

// Updates the moments of elements i.. and returns the new parameters.
template <class G, class Lanes>
VIGOR_INLINE vfloat updated(const float* p, const G* g, float* m, float* v, int64_t i, Lanes lanes,
                            const AdamWFactors<float>& f) {
  const vfloat gradient = load(g + i, lanes) * f.clip;
  const vfloat mean = flush_tiny(fma(load(m + i, lanes), f.beta1, gradient * f.one_minus_beta1));
  const vfloat square = flush_tiny(fma(load(v + i, lanes), f.beta2, gradient * gradient * f.one_minus_beta2));
  const vfloat denominator = fma(sqrt(square), f.denominator_scale, f.eps);
  store(m + i, mean, lanes);
  store(v + i, square, lanes);
  return fma(mean / denominator, -f.step_size, load(p + i, lanes) * f.decay);
}

}  // namespace

void adamw(float* p, const float* g, float* m, float* v, int64_t n, const AdamWFactors<float>& f) {
  for_each_vector(n, [&](int64_t i, auto lanes) { store(p + i, updated(p, g, m, v, i, lanes, f), lanes); });
}

void adamw_mixed(bf16* rounded, float* p, const bf16* g, float* m, float* v, int64_t n, const AdamWFactors<float>& f) {
  for_each_vector(n, [&](int64_t i, auto lanes) {
    const vfloat value = updated(p, g, m, v, i, lanes, f);
    store(p + i, value, lanes);
    store(rounded + i, value, lanes);
  });
}

}  // namespace vigor::VIGOR_ISA
