#pragma once
// The global norm of gradients and the factor that clips them (Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063):
//
//   norm = sqrt(sum of all g^2),   clip_factor = min(1, max_norm / (norm + 1e-6))
//
//   gradients   [...]  f32 or f64, contiguous, on one device; only read, once
//   summed      in f64, block by block in a fixed order: the same for every number of threads
//   not differentiable
#include <span>

#include "tensor/step_state.h"
#include "tensor/tensor.h"

namespace vigor {

// Writes state.grad_norm and state.clip_factor. max_norm 0: no clipping, the factor is 1. A norm that is not finite is
// written as it is. Throws std::invalid_argument for other dtypes or strides.
void global_norm(std::span<const Tensor> gradients, double max_norm, StepState& state);
void global_norm(const Tensor& gradient, double max_norm, StepState& state);

}  // namespace vigor
