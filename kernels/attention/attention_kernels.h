#pragma once
#include "tensor/view.h"

namespace vigor {

// Views as in attention.h; the last stride of those of rank 4 is 1.
struct AttentionInputs {
  TensorView q, k, v;
  TensorView offsets, lengths;  // contiguous; may be undefined
  double scale;
  bool causal;
};

// Elements of scratch that a launcher needs for its threads, in the type of lse.
int64_t attention_forward_scratch(const AttentionInputs& in);
int64_t attention_backward_scratch(const AttentionInputs& in);

void attention_forward_cpu(const AttentionInputs& in, const TensorView& y, const TensorView& lse,
                           const TensorView& scratch);

struct AttentionGradients {
  TensorView y, lse;      // as the forward pass left them; contiguous
  TensorView dy;          // like y
  TensorView dlse;        // like lse; may be undefined
  TensorView dq, dk, dv;  // written, in the type of lse; any strides but the last, which is 1
};
void attention_backward_cpu(const AttentionInputs& in, const AttentionGradients& grads, const TensorView& scratch);

}  // namespace vigor
