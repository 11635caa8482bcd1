#pragma once
// Launchers of the repetition penalty. y [B,V] contiguous, a copy of logits [B,V] of any strides, of one dtype: f32,
// f64 (CPU only) or bf16; seen [B,N] i32 and lengths [B] i32 (or none) contiguous. Each y is written from the logit and
// not from itself, so that an id may come twice.
#include "tensor/view.h"

namespace vigor {

void repetition_penalty_cpu(const TensorView& y, const TensorView& logits, const TensorView& seen,
                            const TensorView& lengths, double penalty);
void repetition_penalty_cuda(const TensorView& y, const TensorView& logits, const TensorView& seen,
                             const TensorView& lengths, double penalty);

}  // namespace vigor
