#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// Matrices [rows,columns] with contiguous rows: x, dx [M,in], weight [out,in], y, pre, dy [M,out]; bias [out]
// contiguous or undefined.
void linear_forward_cpu(const TensorView& y, const TensorView& x, const TensorView& weight, const TensorView& bias);
void linear_forward_cuda(const TensorView& y, const TensorView& x, const TensorView& weight, const TensorView& bias);
// pre has the row stride of y; it may be y itself when its values are not needed.
void linear_gelu_forward_cpu(const TensorView& y, const TensorView& pre, const TensorView& x, const TensorView& weight,
                             const TensorView& bias);
void linear_gelu_forward_cuda(const TensorView& y, const TensorView& pre, const TensorView& x, const TensorView& weight,
                              const TensorView& bias);
// Gradients that are undefined are skipped.
void linear_backward_cpu(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                         const TensorView& dy, const TensorView& x, const TensorView& weight);
void linear_backward_cuda(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                          const TensorView& dy, const TensorView& x, const TensorView& weight);

}  // namespace vigor
