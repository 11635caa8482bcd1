#include <cmath>

#include "kernels/adamw/adamw_kernels.h"
#include "kernels/adamw/adamw_simd.h"
#include "kernels/parallel.h"

namespace vigor {
namespace {

// The definition.
void adamw_update_naive(double* p, const double* grad, double* m, double* v, int64_t count, const StepState& state,
                        const AdamWOptions& options) {
  for (int64_t i = 0; i < count; ++i) {
    const double g = grad[i] * state.clip_factor;
    p[i] *= 1 - state.learning_rate * options.weight_decay;
    m[i] += (1 - options.beta1) * (g - m[i]);
    v[i] = options.beta2 * v[i] + (1 - options.beta2) * g * g;
    p[i] -=
        state.learning_rate / state.bias_correction1 * m[i] / (std::sqrt(v[i] / state.bias_correction2) + options.eps);
  }
}

}  // namespace

void adamw_update_cpu(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
                      const StepState& state, const AdamWOptions& options) {
  const int64_t count = param.numel();
  if (param.dtype == Dtype::f64) {
    adamw_update_naive(param.as<double>(), grad.as<double>(), m.as<double>(), v.as<double>(), count, state, options);
    return;
  }
  AdamWRange all;
  all.clip_factor = state.clip_factor;
  all.decay = static_cast<float>(1 - state.learning_rate * options.weight_decay);
  all.one_minus_beta1 = static_cast<float>(1 - options.beta1);
  all.beta2 = static_cast<float>(options.beta2);
  all.one_minus_beta2 = static_cast<float>(1 - options.beta2);
  all.step_size = state.learning_rate / state.bias_correction1;
  all.rsqrt_correction2 = static_cast<float>(1 / std::sqrt(static_cast<double>(state.bias_correction2)));
  all.eps = static_cast<float>(options.eps);
  parallel_blocks(count, kElementsPerBlock, [&](int64_t begin, int64_t end) {
    AdamWRange r = all;
    r.count = end - begin;
    r.param = param.as<float>() + begin;
    r.grad = grad.as<float>() + begin;
    r.m = m.as<float>() + begin;
    r.v = v.as<float>() + begin;
    VIGOR_PICK(adamw_update)(r);
  });
}

}  // namespace vigor
