#pragma once
// A linear layer whose weight is the product of two thin matrices, weight = lora_a lora_b, both trained from the start
// ("low-rank pre-training"; the factors are named as in LoRA, Hu et al. 2021, arXiv:2106.09685). Applied as two thin
// products; the weight itself is never formed.
//
//   forward    h = x lora_b^T,   y = h lora_a^T + bias
//   backward   dh = dy lora_a,   dlora_a = dy^T h,   dbias = sum over rows of dy
//              dx = dh lora_b,   dlora_b = dh^T x
//
//   x        [..,in]   f32, f64 or bf16, any strides
//   lora_a   [out,r]   f64 beside f64, else f32 or bf16 in any mix with x
//   lora_b   [r,in]    likewise
//   bias     [out]     the dtype of x, or f32 beside bf16 (rounded to it), or undefined
//   y        [..,out]  the dtype of x, contiguous
//   sums     f32 (f64 for f64); h stays in that type, unless x and both factors are bf16: then it is bf16 too
//   saved    x, lora_a, lora_b (no bytes of their own), h: rows * r elements
//
// CUDA       two products of cuBLASLt each way, as in kernels/linear
#include "tensor/tensor.h"

namespace vigor {

// Throws std::invalid_argument when shapes or dtypes break the table above.
Tensor low_rank_linear(const Tensor& x, const Tensor& lora_a, const Tensor& lora_b, const Tensor& bias = {});

}  // namespace vigor
