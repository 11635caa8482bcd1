#pragma once
#include "kernels/hybrid_mixer/hybrid_mixer.h"
#include "nn/mixer.h"

namespace vigor {

// The i3 hybrid mixer: RWKV-style time mixing beside a dense linear state space (kernels/hybrid_mixer has the
// equations). x [B,T,d] -> y [B,T,d]; d channels, n states.
// Parameters (f32 in a bf16 model): `w_mix [d]` 0.5, `A [n,n]`, `B [n,d]`, `C [d,n]` 0.01 N(0,1), `D [d]` 0.1.
// Cache: h [B,d] and s [B,n], whatever the length. Gradients flow through both.
class HybridMixer : public Mixer {
 public:
  HybridMixer(int64_t channels, int64_t states);

  Tensor forward(const Tensor& x) const override;
  Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const override;
  LayerCache make_cache(int64_t batch, int64_t capacity) const override;
  double flops_per_token(int64_t T) const override;
  double saved_per_token() const override;

  Tensor w_mix, ssm_a, ssm_b, ssm_c, skip_d;

 private:
  int64_t channels_, states_;
};

}  // namespace vigor
