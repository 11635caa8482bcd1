#pragma once
#include "tensor/view.h"

namespace vigor {

// All views contiguous. S is f32, for f64 inputs f64.
struct LinearCrossEntropyViews {
  TensorView x, weight;  // [N,d], [V,d]
  TensorView bias;       // [V] of S; may be undefined
  TensorView targets;    // [N] i64, in range or ignore_index
  int64_t ignore_index;
  double loss_weight;        // of each token: 1 / counted
  TensorView logits;         // scratch [chunk,V] of S: so many tokens at a time
  TensorView losses;         // [N] of S, written
  TensorView dx, dw, dbias;  // [N,d], [V,d], [V] of S, written: for dloss = 1; each may be undefined
};
void linear_cross_entropy_cpu(const LinearCrossEntropyViews& views);

}  // namespace vigor
