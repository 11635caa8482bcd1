#pragma once
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
void linear_cross_entropy_cpu(const LinearCrossEntropyViews& views);
// A target out of range makes its loss and its gradients NaN.
void linear_cross_entropy_cuda(const LinearCrossEntropyViews& views);

}  // namespace vigor
