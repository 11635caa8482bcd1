#pragma once
// AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101), one pass over an arena of parameters, in place. Rounded as
// PyTorch does it, with t counted from 1:
//
//   g = clip_factor * grad                   clip_factor from global_norm, 1 without clipping
//   p = p (1 - lr weight_decay)              decay comes first
//   m = beta1 m + (1 - beta1) g
//   v = beta2 v + (1 - beta2) g^2
//   p = p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)
//
//   param, grad, m, v   [n] or any one shape, contiguous; all f32 or all f64
//   state               lr, bias corrections and clip factor are read from it when the pass runs (tensor/step_state.h)
// In f32, moments below 1e-36 become 0: subnormal numbers would slow the pass down many times.
//
// No gradient: not differentiable. Memory-bound: reads four arrays and writes three, 28 n bytes in f32.
#include "tensor/step_state.h"
#include "tensor/tensor.h"

namespace vigor {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
};

// Throws std::invalid_argument for shapes or dtypes that differ, betas outside [0, 1), or eps that is not
// above 0.
void adamw_update(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v, const StepState& state,
                  const AdamWOptions& options = {});

}  // namespace vigor
