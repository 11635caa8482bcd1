#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// All views contiguous. x, y, dx, dy [rows,C]; weight [C]; rstd [rows] f32 (f64 for f64).
void rms_norm_forward_cpu(const TensorView& y, const TensorView& rstd, const TensorView& x, const TensorView& weight,
                          double eps);

// Gradients that are undefined are skipped. `partial` [blocks,1,C], blocks = sum_blocks(rows), in the dtype of rstd, is
// work space for dweight (undefined when that is).
void rms_norm_backward_cpu(const TensorView& dx, const GradientView& dweight, const TensorView& partial,
                           const TensorView& dy, const TensorView& x, const TensorView& weight, const TensorView& rstd);

// The same on a GPU; blocks = sum_blocks(rows, kCuda).
void rms_norm_forward_cuda(const TensorView& y, const TensorView& rstd, const TensorView& x, const TensorView& weight,
                           double eps);
void rms_norm_backward_cuda(const TensorView& dx, const GradientView& dweight, const TensorView& partial,
                            const TensorView& dy, const TensorView& x, const TensorView& weight,
                            const TensorView& rstd);

}  // namespace vigor
