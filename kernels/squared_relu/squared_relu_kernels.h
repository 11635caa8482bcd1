#pragma once
// Launchers of squared ReLU. All views are contiguous, of equal sizes and of one dtype: f32, f64 (CPU only)
// or bf16.
#include "tensor/view.h"

namespace vigor {

void squared_relu_forward_cpu(const TensorView& y, const TensorView& x);
void squared_relu_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& x);
void squared_relu_forward_cuda(const TensorView& y, const TensorView& x);
void squared_relu_backward_cuda(const TensorView& dx, const TensorView& dy, const TensorView& x);

}  // namespace vigor
