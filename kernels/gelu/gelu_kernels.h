#pragma once
#include "kernels/gelu/gelu.h"
#include "tensor/view.h"

namespace vigor {

// All views contiguous, of one size and dtype.
void gelu_forward_cpu(const TensorView& y, const TensorView& x, GeluKind kind);
void gelu_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& x, GeluKind kind);  // dx may be dy
void gelu_forward_cuda(const TensorView& y, const TensorView& x, GeluKind kind);
void gelu_backward_cuda(const TensorView& dx, const TensorView& dy, const TensorView& x,
                        GeluKind kind);  // dx may be dy

}  // namespace vigor
