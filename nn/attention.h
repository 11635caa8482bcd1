#pragma once
#include "nn/linear.h"
#include "nn/mixer.h"

namespace vigor {

// Causal multi-head attention with one fused projection, as in i3: x [B,T,d] -> y [B,T,d]; H heads of width P = d/H,
// scores times 1/sqrt(P). Children: `qkv` Linear d -> 3d, whose output is q, k, v in this order; `out_proj` d -> d.
// Cache: keys and values [B, capacity, H, P]. Inference only: the cache is written in place, so a cached forward with
// gradients on throws std::logic_error.
class Attention : public Mixer {
 public:
  Attention(int64_t channels, int64_t heads);  // heads must divide channels (std::invalid_argument)

  Tensor forward(const Tensor& x) const override;
  Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const override;
  LayerCache make_cache(int64_t batch, int64_t capacity) const override;
  double flops_per_token(int64_t T) const override;
  double saved_per_token() const override;

  Linear qkv;
  Linear out_proj;

 private:
  int64_t channels_, heads_;
};

}  // namespace vigor
