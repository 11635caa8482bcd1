#pragma once
// Attention of one head: for a block of queries, or for the few queries of a decode step. X is float or bf16.
#include "tensor/simd.h"

namespace vigor {

inline constexpr int64_t kAttentionBlock = 64;  // queries, and keys, that are worked on together

// Rows of one head: row i starts i * stride elements after `data`.
template <class T>
struct HeadRows {
  T* data;
  int64_t stride;
};

// Query i of a block sees keys 0 .. visible(i) - 1.
struct VisibleKeys {
  int64_t keys;   // that exist
  int64_t first;  // visible to query 0 if all of them existed
  bool causal;    // each later query sees one more

  [[gnu::always_inline]] int64_t of(int64_t i) const {
    const int64_t n = causal && first + i < keys ? first + i : keys;
    return n > 0 ? n : 0;
  }
};

template <class X>
struct AttentionForwardBlock {
  int64_t queries, width;  // at most kAttentionBlock; width is P
  VisibleKeys visible;
  float scale;
  HeadRows<const X> q, k, v;
  HeadRows<X> y;
  float* lse;  // [queries]
  float* scratch;
};
constexpr int64_t attention_forward_block_scratch(int64_t width) {
  return kAttentionBlock * (4 * width + kAttentionBlock + 3);
}

template <class X>
struct AttentionBackwardBlock {
  int64_t queries, width;
  VisibleKeys visible;
  float scale;
  HeadRows<const X> q, k, v, y, dy;
  const float *lse, *dlse;  // [queries]; dlse may be null
  HeadRows<float> dq;       // written
  HeadRows<float> dk, dv;   // of all keys: added to
  float* scratch;
};
constexpr int64_t attention_backward_block_scratch(int64_t width) {
  return kAttentionBlock * (6 * width + 2 * kAttentionBlock + 2);
}

// All `heads` query heads that read one key and value head, a few queries each: every key is loaded once.
template <class X>
struct AttentionFewQueries {
  int64_t heads, queries, width;
  VisibleKeys visible;
  float scale;
  HeadRows<const X> q, k, v;
  HeadRows<X> y;
  int64_t q_head_stride, y_head_stride;
  float* lse;  // [heads,queries]
  float* scratch;
};
constexpr int64_t attention_few_queries_scratch(int64_t heads, int64_t queries, int64_t width) {
  return heads * queries * (2 * width + 2) + 4 * kAttentionBlock;
}

// clang-format off
VIGOR_PER_ISA(
    void attention_forward_block(const AttentionForwardBlock<float>& p);
    void attention_forward_block(const AttentionForwardBlock<bf16>& p);
    void attention_backward_block(const AttentionBackwardBlock<float>& p);
    void attention_backward_block(const AttentionBackwardBlock<bf16>& p);
    void attention_few_queries(const AttentionFewQueries<float>& p);
    void attention_few_queries(const AttentionFewQueries<bf16>& p);)
// clang-format on

}  // namespace vigor
