#pragma once
// The Euclidean norm of all gradients together, and the factor that clips it.
//
//   grad_norm = sqrt(sum of g^2 over all elements of all tensors)
//   clip_factor = min(1, max_norm / (grad_norm + 1e-6));  1 when max_norm is 0
//
//   grads   arenas or single gradients, contiguous; f32, bf16 or f64
//
// computed   in f64, in blocks whose borders depend on the sizes alone, added in order: the same for every number of
//            threads. Memory-bound: reads every gradient once. A norm that is not finite stays so, and so does the
//            product of gradients with the factor: callers check it before they update.
#include <span>

#include "tensor/step_state.h"
#include "tensor/tensor.h"

namespace vigor {

// Writes grad_norm and clip_factor of `state`. Throws std::invalid_argument for other dtypes, a tensor that is not
// contiguous, or a negative max_norm.
void global_norm(std::span<const Tensor> grads, double max_norm, StepState& state);

}  // namespace vigor
