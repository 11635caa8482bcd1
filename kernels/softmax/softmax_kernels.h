#pragma once
#include "tensor/view.h"

namespace vigor {

// Contiguous views; the softmax runs along dimension `dim`.
void softmax_forward_cpu(const TensorView& y, const TensorView& x, int dim);
void softmax_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& y, int dim);

// On a GPU, in the version that kernel_version("softmax", 4) chooses.
void softmax_forward_cuda(const TensorView& y, const TensorView& x, int dim);
void softmax_backward_cuda(const TensorView& dx, const TensorView& dy, const TensorView& y, int dim);

}  // namespace vigor
