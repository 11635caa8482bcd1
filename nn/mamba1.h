#pragma once
#include "nn/linear.h"
#include "nn/mixer.h"

namespace vigor {

// The Mamba-1 mixer (Gu and Dao 2023, arXiv:2312.00752, section 3.4), x [B,T,d] -> y [B,T,d], with E inner channels of
// N states each and step sizes that come from R numbers a token:
//
//   x | z         = in_proj(x)                                      d -> E | E
//   x             = SiLU(conv1d(x))                                 depthwise, causal, K steps (kernels/causal_conv1d)
//   low | B | C   = x_proj(x)                                       E -> R | N | N
//   y             = scan(x, dt_proj(low), B, C; A_log, D)           steps softplus(dt_proj(low) + bias)
//   result        = out_proj(y SiLU(z))                             (kernels/selective_scan)
struct Mamba1Options {
  int64_t channels = 0;                           // d
  int64_t inner = 0;                              // E; published: 2 d
  int64_t states = 16;                            // N
  int64_t conv_width = 4;                         // K
  int64_t dt_rank = 0;                            // R; 0: d / 16, rounded up
  double dt_init_min = 0.001, dt_init_max = 0.1;  // where the step sizes start, see below
  double weight_stddev = kLinearStddev;
};

// Parameters, named and started as in the published code: `in_proj.weight [2E,d]`, `x_proj.weight [R+2N,E]` and
// `out_proj.weight [d,E]` N(0, stddev^2); `conv1d.weight [E,1,K]` and `conv1d.bias [E]` uniform within 1/sqrt(K);
// `dt_proj.weight [E,R]` uniform within 1/sqrt(R); `dt_proj.bias [E]` softplus^-1 of numbers log-uniform in
// [dt_init_min, dt_init_max]; `A_log [E,N]` log(1..N) in every row; `D [E]` 1. The last three and the convolution stay
// f32 in a bf16 model.
// Cache: the last K-1 inputs of the convolution [B,K-1,E], and the state [B,E,N].
class Mamba1 : public Mixer {
 public:
  explicit Mamba1(const Mamba1Options& options);  // std::invalid_argument when a size is not positive

  Tensor forward(const Tensor& x) const override;
  Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const override;
  LayerCache make_cache(int64_t batch, int64_t capacity) const override;
  double flops_per_token(int64_t T) const override;
  double saved_per_token() const override;

  Linear in_proj, x_proj, dt_proj, out_proj;  // dt_proj without its bias, which the scan adds
  Tensor conv_weight, conv_bias, dt_bias, a_log, skip_d;

 private:
  // `cache` is empty for whole sequences; else its two tensors are read and replaced.
  Tensor run(const Tensor& x, LayerCache& cache, const Tensor& lengths) const;

  Mamba1Options options_;  // with dt_rank as it is used
};

}  // namespace vigor
