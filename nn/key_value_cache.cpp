#include "nn/key_value_cache.h"

#include <fmt/core.h>

#include <stdexcept>

#include "autograd/variable.h"
#include "kernels/attention/attention.h"
#include "kernels/views/views.h"
#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

// Rows 0..lengths[b]-1 of x [B,T,H,P] become positions offsets[b].. of `cached` [B,capacity,H,P], which has room for
// them.
void append_tokens(const Tensor& cached, const Tensor& x, const TokenPositions& positions) {
  const TensorView target = cached.view(), source = x.view();
  for (int64_t b = 0; b < x.size(0); ++b) {
    const TensorView target_row = sliced(target, 0, b, b + 1, 1, "layer cache");
    const TensorView source_row = sliced(source, 0, b, b + 1, 1, "layer cache");
    const int64_t offset = positions.host_offsets[static_cast<size_t>(b)];
    const int64_t length = positions.host_lengths[static_cast<size_t>(b)];
    copy(sliced(target_row, 1, offset, offset + length, 1, "layer cache"),
         sliced(source_row, 1, 0, length, 1, "layer cache"));
  }
  cached.storage()->bump_version();
}

}  // namespace

LayerCache make_key_value_cache(int64_t batch, int64_t capacity, int64_t kv_heads, int64_t head_width, Dtype dtype,
                                Device device) {
  // Head by head in memory, so that a step reads the keys of a head in one run.
  const Shape sizes{batch, kv_heads, capacity, head_width};
  return {{transpose(zeros(sizes, dtype, device), 1, 2), transpose(zeros(sizes, dtype, device), 1, 2)}};
}

Tensor cached_attention(const Tensor& q, const Tensor& k, const Tensor& v, const LayerCache& cache,
                        const TokenPositions& positions, const char* layer, double scale) {
  if (grad_enabled())
    throw std::logic_error(fmt::format("{}: a cached forward has no gradient; run it under NoGrad", layer));
  check(cache.tensors.size() == 2, "{}: its cache holds keys and values; got {} tensors", layer, cache.tensors.size());
  const Tensor &keys = cache.tensors[0], &values = cache.tensors[1];
  check(positions.max_end <= keys.size(1), "{}: the cache has room for {} tokens a row; this call needs {}", layer,
        keys.size(1), positions.max_end);
  append_tokens(keys, k, positions);
  append_tokens(values, v, positions);
  AttentionOptions options;
  options.scale = scale;
  options.offsets = positions.offsets;
  options.lengths = positions.ends;
  return attention(q, slice(keys, 1, 0, positions.max_end), slice(values, 1, 0, positions.max_end), options).y;
}

}  // namespace vigor
