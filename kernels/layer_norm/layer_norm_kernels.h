#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// All views contiguous. x, y, dx, dy [rows,C]; weight, bias [C]; mean, rstd [rows] f32 (f64 for f64).
void layer_norm_forward_cpu(const TensorView& y, const TensorView& mean, const TensorView& rstd, const TensorView& x,
                            const TensorView& weight, const TensorView& bias, double eps);

// Gradients that are undefined are skipped. `partial` [blocks,2,C], blocks = sum_blocks(rows), in the dtype of mean, is
// work space for dweight and dbias (undefined when both are).
void layer_norm_backward_cpu(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                             const TensorView& partial, const TensorView& dy, const TensorView& x,
                             const TensorView& weight, const TensorView& mean, const TensorView& rstd);

// The same on a GPU, in the version that kernel_version("layer_norm", 3) chooses; blocks = sum_blocks(rows, kCuda).
void layer_norm_forward_cuda(const TensorView& y, const TensorView& mean, const TensorView& rstd, const TensorView& x,
                             const TensorView& weight, const TensorView& bias, double eps);
void layer_norm_backward_cuda(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                              const TensorView& partial, const TensorView& dy, const TensorView& x,
                              const TensorView& weight, const TensorView& mean, const TensorView& rstd);

}  // namespace vigor
