#include "nn/hybrid_mixer.h"

#include "tensor/check.h"

namespace vigor {

HybridMixer::HybridMixer(int64_t channels, int64_t states) : channels_(channels), states_(states) {
  const Initializer matrix = normal_init(0.01);
  constexpr ParameterPrecision full = ParameterPrecision::full;
  add_parameter("w_mix", w_mix, {channels}, constant_init(0.5), full);
  add_parameter("A", ssm_a, {states, states}, matrix, full);
  add_parameter("B", ssm_b, {states, channels}, matrix, full);
  add_parameter("C", ssm_c, {channels, states}, matrix, full);
  add_parameter("D", skip_d, {channels}, constant_init(0.1), full);
}

Tensor HybridMixer::forward(const Tensor& x) const { return hybrid_mixer(x, w_mix, ssm_a, ssm_b, ssm_c, skip_d, {}).y; }

Tensor HybridMixer::forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const {
  check(cache.tensors.size() == 2, "hybrid mixer: its cache holds h and s; got {} tensors", cache.tensors.size());
  HybridMixerOptions options;
  options.h0 = cache.tensors[0];
  options.s0 = cache.tensors[1];
  options.lengths = positions.lengths;
  const HybridMixerResult result = hybrid_mixer(x, w_mix, ssm_a, ssm_b, ssm_c, skip_d, options);
  cache.tensors = {result.h_last, result.s_last};
  return result.y;
}

LayerCache HybridMixer::make_cache(int64_t batch, int64_t) const {
  return {{zeros({batch, channels_}, w_mix.dtype(), w_mix.device()),
           zeros({batch, states_}, w_mix.dtype(), w_mix.device())}};
}

double HybridMixer::flops_per_token(int64_t) const {
  // B x, A s and C s; the element-wise scan is counted in no published figure and is left out here too.
  return 2.0 * static_cast<double>(2 * channels_ * states_ + states_ * states_);
}

double HybridMixer::saved_per_token() const { return static_cast<double>(states_); }  // s; h is recomputed

}  // namespace vigor
