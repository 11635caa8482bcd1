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
            const StepState& state, const AdamWOptions& o) {
  // In double as far as possible: 1 - beta2 = 0.001 would keep five digits only if beta2 were rounded first.
  const double lr = static_cast<double>(state.learning_rate);
  const AdamWFactors<T> factors{static_cast<T>(state.clip_factor),
                                static_cast<T>(1 - lr * o.weight_decay),
                                static_cast<T>(o.beta1),
                                static_cast<T>(1 - o.beta1),
                                static_cast<T>(o.beta2),
                                static_cast<T>(1 - o.beta2),
                                static_cast<T>(lr / static_cast<double>(state.bias_correction1)),
                                static_cast<T>(1 / std::sqrt(static_cast<double>(state.bias_correction2))),
                                static_cast<T>(o.eps)};
  parallel_blocks(param.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
    adamw(param.as<T>() + begin, grad.as<T>() + begin, m.as<T>() + begin, v.as<T>() + begin, end - begin, factors);
  });
}

}  // namespace

void adamw_cpu(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
               const StepState& state, const AdamWOptions& options) {
  if (param.dtype == Dtype::f64) update<double>(param, grad, m, v, state, options);
  else update<float>(param, grad, m, v, state, options);
}

}  // namespace vigor
