#include "nn/attention.h"

#include "kernels/attention/attention.h"
#include "kernels/views/views.h"
#include "nn/key_value_cache.h"
#include "tensor/check.h"

namespace vigor {

Attention::Attention(int64_t channels, int64_t heads)
    : qkv(channels, 3 * channels), out_proj(channels, channels), channels_(channels), heads_(heads) {
  check(heads > 0 && channels % heads == 0, "attention: heads must divide channels; got {} heads and {} channels",
        heads, channels);
  add_child("qkv", qkv);
  add_child("out_proj", out_proj);
}

Tensor Attention::forward(const Tensor& x) const {
  const int64_t B = x.size(0), T = x.size(1), P = channels_ / heads_;
  const Tensor fused = reshape(qkv.forward(x), {B, T, 3 * heads_, P});
  const Tensor y = attention_qkv(fused, heads_).y;  // [B,T,H,P]
  return out_proj.forward(reshape(y, {B, T, channels_}));
}

Tensor Attention::forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const {
  const int64_t B = x.size(0), T = x.size(1), H = heads_, P = channels_ / heads_;
  const Tensor fused = reshape(qkv.forward(x), {B, T, 3 * H, P});
  const Tensor y = cached_attention(slice(fused, 2, 0, H), slice(fused, 2, H, 2 * H), slice(fused, 2, 2 * H, 3 * H),
                                    cache, positions, "attention");  // [B,T,H,P]
  return out_proj.forward(reshape(y, {B, T, channels_}));
}

LayerCache Attention::make_cache(int64_t batch, int64_t capacity) const {
  return make_key_value_cache(batch, capacity, heads_, channels_ / heads_, qkv.weight.dtype(), qkv.weight.device());
}

double Attention::flops_per_token(int64_t T) const {
  const double projections = 2.0 * static_cast<double>(4 * channels_ * channels_);
  const double keys_seen = 0.5 * static_cast<double>(T + 1);              // on average, as the mask is causal
  return projections + 4.0 * keys_seen * static_cast<double>(channels_);  // q k^T and p v
}

// q, k, v and y; the log-sum-exp is one number a head.
double Attention::saved_per_token() const { return static_cast<double>(4 * channels_ + heads_); }

}  // namespace vigor
