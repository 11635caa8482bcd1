#pragma once
#include "kernels/linear_cross_entropy/linear_cross_entropy.h"
#include "tensor/view.h"

namespace vigor {

// All views contiguous, but for the rows of logits on CUDA. S is f32, for f64 inputs f64.
struct LinearCrossEntropyViews {
  TensorView x, weight;  // [N,d], [V,d]
  TensorView bias;       // [V] in the dtype of logits; may be undefined
  TensorView targets;    // [N] i64, in range or ignore_index
  int64_t ignore_index;
  TensorView loss_weight;    // [] f64: the weight of each token, 1 / counted
  TensorView logits;         // scratch [chunk,V]: so many tokens at a time. CPU: S. CUDA: the dtype of x, 16-byte rows
  TensorView losses;         // [N] of S, written
  TensorView dx, dw, dbias;  // [N,d], [V,d], [V] of S, written: for dloss = 1; each may be undefined
};

// Tokens in a block of the filter. The products of fewer would run slower, and more have fewer columns in which all are
// below the threshold.
inline constexpr int64_t kFilterTokens = 128;
inline constexpr int64_t kFilterColumns = 1024;  // gathered at a time: 2 MB of weights for d = 512, as an L2 cache has

// What the filter works in; a chunk is a whole number of its blocks, but for the last. S as above.
struct FilterViews {
  double threshold;
  TensorView largest;  // [V] of S: of |dlogits|, over the tokens of a block
  TensorView columns;  // [V] i32: those that are not skipped
  TensorView dlogits;  // [kFilterTokens,kFilterColumns] of S, these columns of dlogits
  TensorView weight;   // [kFilterColumns,d] in the dtype of weight, these rows of it
  TensorView dw;       // [kFilterColumns,d] of S
  // What is left out, by block of tokens: the sums u of its columns, the shares r / sum(r) of its tokens, and the sums
  // of x and of the rows of weight with these for factors.
  TensorView tail_columns;         // [blocks,V] of S
  TensorView tail_shares;          // [N] of S
  TensorView tail_x, tail_weight;  // [blocks,d] of S
  FilterCount* count;              // may be null
};
// `filter` is null for the plain gradients.
void linear_cross_entropy_cpu(const LinearCrossEntropyViews& views, const FilterViews* filter = nullptr);
// A target out of range makes its loss and its gradients NaN.
void linear_cross_entropy_cuda(const LinearCrossEntropyViews& views);

}  // namespace vigor
