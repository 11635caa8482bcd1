#pragma once
// The cache of attention layers: keys and values [B, capacity, Hkv, P]. Inference only, as it is written in place.
#include "nn/layer_cache.h"

namespace vigor {

LayerCache make_key_value_cache(int64_t batch, int64_t capacity, int64_t kv_heads, int64_t head_width, Dtype dtype,
                                Device device);

// Appends k and v [B,T,Hkv,P], placed by `positions`, to the cache, and lets q [B,T,H,P] look at all it holds:
// y [B,T,H,P]. `layer` begins error messages; `scale` as in AttentionOptions. Throws std::logic_error with gradients
// on, std::invalid_argument for a cache that is another layer's or has no room.
Tensor cached_attention(const Tensor& q, const Tensor& k, const Tensor& v, const LayerCache& cache,
                        const TokenPositions& positions, const char* layer, double scale = 0);

}  // namespace vigor
