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

template <class M>
void update(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
            const AdamWFactors<float>& factors, const MomentsKey& key) {
  parallel_blocks(param.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
    VIGOR_PICK(adamw)
    (param.as<float>() + begin, grad.as<float>() + begin, m.as<M>() + begin, v.as<M>() + begin, end - begin, factors,
     key, begin);
  });
}

void update(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
            const AdamWFactors<double>& factors) {
  parallel_blocks(param.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
    adamw(param.as<double>() + begin, grad.as<double>() + begin, m.as<double>() + begin, v.as<double>() + begin,
          end - begin, factors);
  });
}

template <class M>
void update_mixed(const TensorView& param, const TensorView& master, const TensorView& grad, const TensorView& m,
                  const TensorView& v, const StepState& state, const AdamWFactors<float>& factors,
                  const Bf16Rounding& rounding) {
  const MomentsKey of_moments = moments_key(rounding, state);
  const RandomKey of_param = rounding_key(rounding, state);
  bf16* const p = param.as<bf16>();
  float* const exact = master.as<float>();
  parallel_blocks(param.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
    VIGOR_PICK(adamw_mixed)
    (p + begin, exact + begin, grad.as<bf16>() + begin, m.as<M>() + begin, v.as<M>() + begin, end - begin, factors,
     of_moments, begin);
    if (!rounding.stochastic) return;
    const RandomSequence words = random_sequence(of_param, static_cast<uint64_t>(begin));
    VIGOR_PICK(round_stochastically)(p + begin, exact + begin, end - begin, words);
  });
}

}  // namespace

void adamw_cpu(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
               const StepState* state, const AdamWOptions& options, const Bf16Rounding& rounding) {
  if (state->failed_step >= 0) return;
  if (param.dtype == Dtype::f64) {
    update(param, grad, m, v, adamw_factors<double>(*state, options));
    return;
  }
  const auto factors = adamw_factors<float>(*state, options);
  const MomentsKey key = moments_key(rounding, *state);
  if (m.dtype == Dtype::bf16) update<bf16>(param, grad, m, v, factors, key);
  else update<float>(param, grad, m, v, factors, key);
}

void adamw_mixed_cpu(const TensorView& param, const TensorView& master, const TensorView& grad, const TensorView& m,
                     const TensorView& v, const StepState* state, const AdamWOptions& options,
                     const Bf16Rounding& rounding) {
  if (state->failed_step >= 0) return;
  const auto factors = adamw_factors<float>(*state, options);
  if (m.dtype == Dtype::bf16) update_mixed<bf16>(param, master, grad, m, v, *state, factors, rounding);
  else update_mixed<float>(param, master, grad, m, v, *state, factors, rounding);
}

}  // namespace vigor
