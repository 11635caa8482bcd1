#include "nn/grouped_query_attention.h"

#include "kernels/attention/attention.h"
#include "kernels/rope/rope.h"
#include "kernels/views/views.h"
#include "nn/key_value_cache.h"
#include "tensor/check.h"

namespace vigor {

GroupedQueryAttention::GroupedQueryAttention(const GroupedQueryAttentionOptions& o)
    : q_proj(o.channels, o.heads * o.head_width, o.bias, normal_init(o.weight_stddev)),
      k_proj(o.channels, o.kv_heads * o.head_width, o.bias, normal_init(o.weight_stddev)),
      v_proj(o.channels, o.kv_heads * o.head_width, o.bias, normal_init(o.weight_stddev)),
      o_proj(o.heads * o.head_width, o.channels, o.bias, normal_init(o.weight_stddev)),
      options_(o) {
  check(o.kv_heads > 0 && o.heads > 0 && o.heads % o.kv_heads == 0,
        "grouped query attention: kv_heads must divide heads; got {} and {}", o.kv_heads, o.heads);
  add_child("q_proj", q_proj);
  add_child("k_proj", k_proj);
  add_child("v_proj", v_proj);
  add_child("o_proj", o_proj);
}

GroupedQueryAttention::Heads GroupedQueryAttention::project(const Tensor& x, const Tensor& offsets) const {
  const int64_t B = x.size(0), T = x.size(1), P = options_.head_width;
  RopeOptions options;
  options.theta = options_.rope_theta;
  options.offsets = offsets;
  options.transformers_angles = options_.transformers_angles;
  Heads heads;
  heads.q = rope(reshape(q_proj.forward(x), {B, T, options_.heads, P}), options);
  options.scale = options_.key_multiplier;
  heads.k = rope(reshape(k_proj.forward(x), {B, T, options_.kv_heads, P}), options);
  heads.v = reshape(v_proj.forward(x), {B, T, options_.kv_heads, P});
  return heads;
}

Tensor GroupedQueryAttention::join(const Tensor& y) const {
  return o_proj.forward(reshape(y, {y.size(0), y.size(1), options_.heads * options_.head_width}));
}

Tensor GroupedQueryAttention::forward(const Tensor& x) const {
  const Heads heads = project(x, {});
  AttentionOptions options;
  options.scale = options_.score_scale;
  return join(attention(heads.q, heads.k, heads.v, options).y);
}

Tensor GroupedQueryAttention::forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const {
  const Heads heads = project(x, positions.offsets);
  return join(
      cached_attention(heads.q, heads.k, heads.v, cache, positions, "grouped query attention", options_.score_scale));
}

LayerCache GroupedQueryAttention::make_cache(int64_t batch, int64_t capacity) const {
  return make_key_value_cache(batch, capacity, options_.kv_heads, options_.head_width, k_proj.weight.dtype(),
                              k_proj.weight.device());
}

double GroupedQueryAttention::flops_per_token(int64_t T) const {
  const double d = static_cast<double>(options_.channels);
  const double queries = static_cast<double>(options_.heads * options_.head_width);
  const double keys = static_cast<double>(options_.kv_heads * options_.head_width);
  const double keys_seen = 0.5 * static_cast<double>(T + 1);                  // on average: the mask is causal
  return 2.0 * d * (2.0 * queries + 2.0 * keys) + 4.0 * keys_seen * queries;  // q k^T and p v
}

// q, k, v and y; the log-sum-exp is one number a head.
double GroupedQueryAttention::saved_per_token() const {
  return static_cast<double>((2 * options_.heads + 2 * options_.kv_heads) * options_.head_width + options_.heads);
}

}  // namespace vigor
