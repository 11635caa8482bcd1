#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// The loss of each row and its gradient. All views contiguous.
struct CrossEntropyRows {
  TensorView logits;   // [N,V]
  TensorView targets;  // [N] i64, in range or ignore_index
  int64_t ignore_index;
  double weight;       // of each row in the loss: 1 / counted
  TensorView losses;   // [N] written: lse - logits[target], 0 where ignored; f32, f64 for f64
  TensorView dlogits;  // [N,V] written: weight (softmax - onehot); may be `logits`, or undefined
};
void cross_entropy_rows_cpu(const CrossEntropyRows& rows);

// loss [] = weight * sum of losses [N], added in double from the first to the last.
void weighted_loss_cpu(const TensorView& loss, const TensorView& losses, double weight);

// to (+)= dloss [] * from; contiguous, same sizes. dloss and `from` share a dtype or are f32 beside bf16; `to` may be
// `from`: then nothing is done for dloss = 1.
void scaled_gradient_cpu(const GradientView& to, const TensorView& from, const TensorView& dloss);

}  // namespace vigor
