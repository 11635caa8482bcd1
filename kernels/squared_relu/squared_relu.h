#pragma once
// Squared ReLU, an activation: RWKV's channel mixing is squared_relu(x W_k) W_v, and Primer uses it in place of GELU.
//
//   forward    y = max(x, 0)^2
//   backward   dx = 2 max(x, 0) dy
//
//   x, y       any sizes, f32, f64 or bf16 (computed in f32); x may be strided
//   saved      x: its nbytes
//   CUDA       f32 and bf16; a thread computes 16 bytes of the result. Forward moves 2 times nbytes of x, backward 3
//              times, the minimum
//   source     So et al., "Primer: searching for efficient transformers for language modeling", 2021
//
// Errors: std::invalid_argument for a dtype that is not listed above.
#include "tensor/tensor.h"

namespace vigor {

Tensor squared_relu(const Tensor& x);

}  // namespace vigor
