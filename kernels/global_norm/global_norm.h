#pragma once
// The Euclidean norm of all gradients together, and the factor that clips it.
//
//   grad_norm = sqrt(sum of g^2 over all elements of all tensors)
//   clip_factor = min(1, max_norm / (grad_norm + 1e-6));  1 when max_norm is 0
//   failed_step = step, when grad_norm is not finite and no step failed before
//
//   grads   arenas or single gradients, contiguous; f32, bf16 or (CPU only) f64, also mixed
//   state   in the memory of their device (tensor/step_state.h); adamw_update does nothing once failed_step is set
//
// computed   in f64, in blocks whose borders depend on the sizes alone, added in order: the same in every run and for
//            every number of threads. Memory-bound: reads every gradient once. Clipping needs no pass of its own:
//            adamw_update multiplies with the factor.
// CUDA       a block sums 32768 elements in packs of 16 bytes, a last block adds these sums and writes `state`: no word
//            goes through the host. f64 costs no time where memory is slower: two operations for 4 bytes.
#include <span>

#include "tensor/step_state.h"
#include "tensor/tensor.h"

namespace vigor {

// Throws std::invalid_argument for other dtypes, a tensor that is not contiguous, or a negative max_norm.
void global_norm(std::span<const Tensor> grads, double max_norm, StepState* state);

}  // namespace vigor
