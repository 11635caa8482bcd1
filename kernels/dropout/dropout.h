#pragma once
// Dropout (Srivastava et al. 2014): each element is 0 with probability p, else scaled so that the mean stays.
//
//   forward    y_i = keep_i x_i / (1 - p)
//   backward   dx_i = keep_i dy_i / (1 - p)
//
//   keep_i   1 where word i of the key's Philox sequence (random_bits in tensor/philox.h) is at least p 2^32, i counted
//            in row-major order: a function of the key alone, so that backward, a recomputed block, another thread
//            count and another device see the same mask
//   x, y     [..]  f32, f64 or bf16, any strides; y contiguous
//   saved    nothing: the mask is computed again
//
//   CUDA     f32 and bf16; a thread makes one mask word an element in registers and moves 16 bytes. Reads x and writes
//   y
//            once, the minimum
//
// The key's step and salt must differ between steps and layers; its stream is RandomStream::dropout.
#include "tensor/step_state.h"
#include "tensor/tensor.h"

namespace vigor {

// 0 <= p < 1; with p = 0 the result is x itself. Throws std::invalid_argument for another p, stream or dtype.
// With a `state`, in the memory of x's device, the key's step word is state->step at the time when the mask is made,
// forward and backward: a step that is captured once then draws new masks whenever it is replayed.
Tensor dropout(const Tensor& x, double p, const RandomKey& key, const StepState* state = nullptr);

}  // namespace vigor
