#pragma once
// The two parts of an RWKV-4 block (Peng et al. 2023, arXiv:2305.13048, section 3.1). Both see the token before through
// token shift, so both remember it; channel mixing is the block's feed-forward.
//
// x'_m is the token shift of x with the weights m (kernels/token_shift).
#include "nn/linear.h"
#include "nn/mixer.h"

namespace vigor {

// Where a block stands among those of its model; the published starting values depend on it.
struct RwkvDepth {
  int64_t layer = 0, layers = 1;
};

struct RwkvTimeMixingOptions {
  int64_t channels = 0;  // d
  int64_t inner = 0;     // A, the channels that are averaged; 0: d, as published
  RwkvDepth depth;
  double weight_stddev = kLinearStddev;
};

// x [B,T,d] -> output(sigmoid(receptance(x'_r)) * wkv(key(x'_k), value(x'_v))) [B,T,d] (kernels/wkv).
//
// Parameters, named as published: `time_decay [A]`, `time_first [A]`, `time_mix_k`, `time_mix_v`, `time_mix_r` [1,1,d],
// all f32 in a bf16 model, and children `key`, `value`, `receptance` d -> A and `output` A -> d without bias.
// With channel i of n, u = i / n, l = layer / (layers - 1) (0 with one layer) and r = 1 - layer / layers they start as
// in the published code:
//
//   time_decay   -5 + 8 (i / (n - 1))^(0.7 + 1.3 l)       decays from e^(-e^-5) to e^(-e^3) a step
//   time_first   ln 0.3 + (((i + 1) mod 3) - 1) / 2
//   time_mix_k   u^r,   time_mix_v  u^r + 0.3 l,   time_mix_r  u^(r/2)
//
// The matrices start as N(0, stddev^2), as those of all blocks here, where the published code has orthogonal ones and
// zeros.
// Cache: the last token [B,d] and wkv's state [B,3,A].
class RwkvTimeMixing : public Mixer {
 public:
  explicit RwkvTimeMixing(const RwkvTimeMixingOptions& options);  // std::invalid_argument when a size is not positive

  Tensor forward(const Tensor& x) const override;
  Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const override;
  LayerCache make_cache(int64_t batch, int64_t capacity) const override;
  double flops_per_token(int64_t T) const override;
  double saved_per_token() const override;

  Linear key, value, receptance, output;
  Tensor time_decay, time_first, time_mix_k, time_mix_v, time_mix_r;

 private:
  Tensor run(const Tensor& x, LayerCache& cache, const Tensor& lengths) const;  // an empty cache: whole sequences

  int64_t channels_, inner_;
};

struct RwkvChannelMixingOptions {
  int64_t channels = 0;  // d
  int64_t hidden = 0;    // published: 4 d
  RwkvDepth depth;
  double weight_stddev = kLinearStddev;
};

// x [B,T,d] -> sigmoid(receptance(x'_r)) * value(relu(key(x'_k))^2) [B,T,d]. A feed-forward that needs a cache, and so
// a Mixer.
//
// Parameters: `time_mix_k`, `time_mix_r` [1,1,d] u^r, f32 in a bf16 model; children without bias `key` d -> hidden,
// `receptance` d -> d, `value` hidden -> d, N(0, stddev^2).
// Cache: the last token [B,d].
class RwkvChannelMixing : public Mixer {
 public:
  explicit RwkvChannelMixing(const RwkvChannelMixingOptions& options);  // std::invalid_argument: a size is not positive

  Tensor forward(const Tensor& x) const override;
  Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const override;
  LayerCache make_cache(int64_t batch, int64_t capacity) const override;
  double flops_per_token(int64_t T) const override;
  double saved_per_token() const override;

  Linear key, receptance, value;
  Tensor time_mix_k, time_mix_r;

 private:
  Tensor run(const Tensor& x, LayerCache& cache, const Tensor& lengths) const;

  int64_t channels_, hidden_;
};

}  // namespace vigor
