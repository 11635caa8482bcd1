#pragma once
#include "tensor/view.h"

namespace vigor {

// All views [rows,C] of one dtype: f32, f64 (CPU only) or bf16. Rows are contiguous; those of gate, up and dy may lie
// apart, those of the results do not.
void swiglu_forward_cpu(const TensorView& y, const TensorView& gate, const TensorView& up, double gate_multiplier);

// A gradient that is undefined is skipped.
void swiglu_backward_cpu(const TensorView& dgate, const TensorView& dup, const TensorView& dy, const TensorView& gate,
                         const TensorView& up, double gate_multiplier);

// The same on a GPU.
void swiglu_forward_cuda(const TensorView& y, const TensorView& gate, const TensorView& up, double gate_multiplier);
void swiglu_backward_cuda(const TensorView& dgate, const TensorView& dup, const TensorView& dy, const TensorView& gate,
                          const TensorView& up, double gate_multiplier);

}  // namespace vigor
