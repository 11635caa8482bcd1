#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

struct GatedRmsNormInputs {
  TensorView x, gate;  // [rows,C]; each row contiguous, rows any distance apart
  TensorView weight;   // [C] contiguous
  int64_t groups;
  bool norm_before_gate;
  double gate_multiplier;
};

// y [rows,C] and rstd [rows,groups] f32 (f64 for f64), contiguous.
void gated_rms_norm_forward_cpu(const GatedRmsNormInputs& in, const TensorView& y, const TensorView& rstd, double eps);

// Gradients that are undefined are skipped; dx and dgate are contiguous, dy has rows like x. `partial` [blocks,1,C],
// blocks = sum_blocks(rows), in the dtype of rstd, is work space for dweight (undefined when that is).
struct GatedRmsNormGradients {
  TensorView dy, rstd;
  TensorView dx, dgate;
  GradientView dweight;
  TensorView partial;
};
void gated_rms_norm_backward_cpu(const GatedRmsNormInputs& in, const GatedRmsNormGradients& grads);

// The same on a GPU; blocks = sum_blocks(rows, kCuda).
void gated_rms_norm_forward_cuda(const GatedRmsNormInputs& in, const TensorView& y, const TensorView& rstd, double eps);
void gated_rms_norm_backward_cuda(const GatedRmsNormInputs& in, const GatedRmsNormGradients& grads);

}  // namespace vigor
