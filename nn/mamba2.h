#pragma once
// The Mamba-2 mixer (Dao and Gu 2024, arXiv:2405.21060) with the multipliers of Falcon-H1. x [B,T,d] -> y [B,T,d].
// H heads of width P make C = H P channels; the G groups of heads share B and C of N states; the convolution sees K
// steps.
//
//   z | x | B | C | dt = in_proj(in_multiplier x), each times its multiplier     d -> C | C | G N | G N | H
//   x | B | C = SiLU(conv1d(x | B | C))                        depthwise, causal: kernels/causal_conv1d
//
//   y = scan(x, dt, B, C; A_log, D, dt_bias)                   kernels/mamba2_scan
//
//   result = out_proj(y SiLU(z)), or with a norm out_proj(gated_rms_norm(y, z)) over each of G groups
//
// Most multipliers cost no pass over activations: those of x, B and C scale the K weights of each channel of the
// convolution instead of its input, that of z is the gate's, and in_multiplier is a factor of all five, as long as
// in_proj has no bias.
#include <array>
#include <limits>
#include <optional>

#include "nn/linear.h"
#include "nn/mixer.h"

namespace vigor {

struct Mamba2Options {
  int64_t channels = 0;    // d
  int64_t heads = 0;       // H
  int64_t head_width = 0;  // P
  int64_t states = 0;      // N
  int64_t groups = 1;      // G, divides H
  int64_t conv_width = 4;  // K
  bool in_bias = false, out_bias = false, conv_bias = true;
  bool norm = false;              // gated RMSNorm in place of the plain gate
  bool norm_before_gate = false;  // norm(y) SiLU(z), else norm(y SiLU(z))
  double norm_eps = 1e-5;
  double in_multiplier = 1;
  std::array<double, 5> multipliers = {1, 1, 1, 1, 1};                  // of z, x, B, C, dt
  double dt_min = 0, dt_max = std::numeric_limits<double>::infinity();  // the step's limits when running
  double dt_init_min = 0.001, dt_init_max = 0.1;                        // and where dt_bias starts it: see below
  double weight_stddev = kLinearStddev;
};

// Parameters: `conv1d.weight [C + 2 G N, 1, K]` N(0, stddev^2), `conv1d.bias` 0, `dt_bias [H]`, `A_log [H]` log(1..H),
// `D [H]` 1, `norm.weight [C]` 1 if used; children `in_proj`, `out_proj`. All but the projections stay f32 in a bf16
// model. dt_bias is softplus^-1 of numbers log-uniform in [dt_init_min, dt_init_max], so that heads start with memories
// of different lengths.
// Cache: the last K-1 inputs of the convolution [B,K-1,C + 2 G N], before their multipliers, and the state [B,H,P,N].
class Mamba2 : public Mixer {
 public:
  explicit Mamba2(const Mamba2Options& options);  // std::invalid_argument when groups does not divide heads

  Tensor forward(const Tensor& x) const override;
  Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const override;
  LayerCache make_cache(int64_t batch, int64_t capacity) const override;
  double flops_per_token(int64_t T) const override;
  double saved_per_token() const override;

  Linear in_proj, out_proj;
  Tensor conv_weight, conv_bias, dt_bias, a_log, skip_d, norm_weight;

 private:
  // `cache` is empty for whole sequences; else its two tensors are read and replaced.
  Tensor run(const Tensor& x, LayerCache& cache, const Tensor& lengths) const;
  Tensor scaled_conv_weight(double in_multiplier) const;
  Tensor gated(const Tensor& y, const Tensor& z, double multiplier) const;
  int64_t inner() const { return options_.heads * options_.head_width; }
  int64_t conv_channels() const { return inner() + 2 * options_.groups * options_.states; }

  Mamba2Options options_;
};

}  // namespace vigor
