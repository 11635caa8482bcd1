#include <cmath>

#include "kernels/adamw/adamw_kernels.h"
#include "kernels/adamw/adamw_simd.h"
#include "kernels/parallel.h"

namespace vigor {
namespace {

// The definition, in f64.
void adamw(double* p, const double* g, double* m, double* v, int64_t n, const AdamWFactors<double>& f) {
  for (int64_t i = 0; i < n; ++i) {
    const double gradient = g[i] * f.clip;
    p[i] *= f.decay;
    m[i] = f.beta1 * m[i] + f.one_minus_beta1 * gradient;
    v[i] = f.beta2 * v[i] + f.one_minus_beta2 * gradient * gradient;
    p[i] -= f.step_size * m[i] / (std::sqrt(v[i]) * f.denominator_scale + f.eps);
  }
}

void adamw(float* p, const float* g, float* m, float* v, int64_t n, const AdamWFactors<float>& f) {
  VIGOR_PICK(adamw)(p, g, m, v, n, f);
}

template <class T>
void update(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
            const AdamWFactors<T>& factors) {
  parallel_blocks(param.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
    adamw(param.as<T>() + begin, grad.as<T>() + begin, m.as<T>() + begin, v.as<T>() + begin, end - begin, factors);
  });
}

}  // namespace

void adamw_cpu(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
               const StepState* state, const AdamWOptions& options) {
  if (state->failed_step >= 0) return;
  if (param.dtype == Dtype::f64) update(param, grad, m, v, adamw_factors<double>(*state, options));
  else update(param, grad, m, v, adamw_factors<float>(*state, options));
}

void adamw_mixed_cpu(const TensorView& param, const TensorView& master, const TensorView& grad, const TensorView& m,
                     const TensorView& v, const StepState* state, const AdamWOptions& options,
                     const Bf16Rounding& rounding) {
  if (state->failed_step >= 0) return;
  const auto factors = adamw_factors<float>(*state, options);
  const RandomKey key = rounding_key(rounding, *state);
  bf16* const p = param.as<bf16>();
  float* const exact = master.as<float>();
  parallel_blocks(param.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
    VIGOR_PICK(adamw_mixed)
    (p + begin, exact + begin, grad.as<bf16>() + begin, m.as<float>() + begin, v.as<float>() + begin, end - begin,
     factors);
    if (!rounding.stochastic) return;
    for (int64_t i = begin; i < end; ++i)
      p[i].bits = round_stochastically(exact[i], random_bits(key, static_cast<uint64_t>(i)));
  });
}

}  // namespace vigor
