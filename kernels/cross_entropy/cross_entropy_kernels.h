#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// The loss of each row and its gradient. All views contiguous, but rows of logits and dlogits may lie apart on CUDA.
struct CrossEntropyRows {
  TensorView logits;   // [N,V]
  TensorView targets;  // [N] i64, in range or ignore_index
  int64_t ignore_index;
  TensorView weight;   // [] f64: of each row in the loss, 1 / counted
  TensorView losses;   // [N] written: lse - logits[target], 0 where ignored; f32, f64 for f64
  TensorView dlogits;  // [N,V] written: weight (softmax - onehot); may be `logits`, or undefined
};
void cross_entropy_rows_cpu(const CrossEntropyRows& rows);
// A target out of range makes its loss and its gradient NaN.
void cross_entropy_rows_cuda(const CrossEntropyRows& rows);

// weight [] f64 = 1 / the number of targets [N] i64 that are not ignore_index; 0 when there is none.
void token_weight_cuda(const TensorView& weight, const TensorView& targets, int64_t ignore_index);

// loss [] = weight [] f64 * sum of losses [N], added in double: on a CPU from the first to the last, on CUDA in another
// fixed order.
void weighted_loss_cpu(const TensorView& loss, const TensorView& losses, const TensorView& weight);
void weighted_loss_cuda(const TensorView& loss, const TensorView& losses, const TensorView& weight);

// to (+)= dloss [] * from; contiguous, same sizes. dloss and `from` share a dtype or are f32 beside bf16; `to` may be
// `from`: then nothing is done for dloss = 1.
void scaled_gradient_cpu(const GradientView& to, const TensorView& from, const TensorView& dloss);
void scaled_gradient_cuda(const GradientView& to, const TensorView& from, const TensorView& dloss);

}  // namespace vigor
