#pragma once
// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), one pass over memory for any number of parameters: give it the
// arena in which they lie side by side. With g the gradient times state.clip_factor:
//
//   p <- p (1 - lr wd)
//   m <- m + (1 - beta1) (g - m)
//   v <- beta2 v + (1 - beta2) g^2
//   p <- p - lr / c1 * m / (sqrt(v / c2) + eps),    c1 = 1 - beta1^(step+1),  c2 = 1 - beta2^(step+1)
//
//   param, grad, m, v   [...]  f32 or f64, one dtype and shape, contiguous; grad is only read
//   moves       28 bytes a parameter in f32: four reads, three writes
//   not differentiable: the parameters change in place and their storage's version goes up
#include "tensor/step_state.h"
#include "tensor/tensor.h"

namespace vigor {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
};

// c1 and c2 of state.step.
void set_bias_corrections(StepState& state, const AdamWOptions& options);

// Reads learning_rate, bias corrections and clip_factor from `state`. Throws std::invalid_argument when the four
// tensors do not match.
void adamw_update(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v, const StepState& state,
                  const AdamWOptions& options);

}  // namespace vigor
