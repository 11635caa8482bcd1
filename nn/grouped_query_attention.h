#pragma once
// Causal attention with rotary positions whose query heads share keys and values (Ainslie et al. 2023,
// arXiv:2305.13245), as in Llama and Falcon-H1. x [B,T,d] -> y [B,T,d]; H query heads of width P, of which H / Hkv
// neighbours read one of the Hkv key and value heads; P need not be d/H.
//
//   q = rope(q_proj(x)),   k = rope(key_multiplier k_proj(x)),   v = v_proj(x)
//   y = o_proj(attention(q, k, v))                     scores times score_scale, by default 1/sqrt(P)
#include "nn/linear.h"
#include "nn/mixer.h"

namespace vigor {

struct GroupedQueryAttentionOptions {
  int64_t channels = 0;    // d
  int64_t heads = 0;       // H
  int64_t kv_heads = 0;    // Hkv, divides H
  int64_t head_width = 0;  // P, even
  bool bias = false;       // of all four projections
  double rope_theta = 10000;
  bool transformers_angles = false;  // RoPE with the float32 angles of transformers (kernels/rope)
  double key_multiplier = 1;
  double score_scale = 0;  // 0 stands for 1/sqrt(P)
  double weight_stddev = kLinearStddev;
};

// Children: `q_proj` d -> H P, `k_proj` and `v_proj` d -> Hkv P, `o_proj` H P -> d.
// Cache: keys, with their positions applied, and values [B, capacity, Hkv, P]. Inference only, as for Attention.
class GroupedQueryAttention : public Mixer {
 public:
  explicit GroupedQueryAttention(const GroupedQueryAttentionOptions& options);  // std::invalid_argument: heads

  Tensor forward(const Tensor& x) const override;
  Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const override;
  LayerCache make_cache(int64_t batch, int64_t capacity) const override;
  double flops_per_token(int64_t T) const override;
  double saved_per_token() const override;

  Linear q_proj, k_proj, v_proj, o_proj;

 private:
  struct Heads {
    Tensor q, k, v;  // [B,T,H,P], [B,T,Hkv,P] twice, q and k with their positions applied
  };
  Heads project(const Tensor& x, const Tensor& offsets) const;
  Tensor join(const Tensor& y) const;  // [B,T,H,P] -> [B,T,d]

  GroupedQueryAttentionOptions options_;
};

}  // namespace vigor
