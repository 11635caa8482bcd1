#pragma once
// The affine map of the last dimension, alone and followed by GELU.
//
//   linear        forward    y = x weight^T + bias
//                 backward   dx = dy weight,   dweight = dy^T x,   dbias = sum over rows of dy
//   linear_gelu   forward    pre = x weight^T + bias,   y = gelu(pre)   (the exact form, kernels/gelu)
//                 backward   dpre = dy gelu'(pre), then as linear with dpre for dy
//
//   x        [..,in]    f32, f64 or bf16; any strides, but only rows that are contiguous save a copy
//   weight   [out,in]   as published; f64 beside f64, else f32 or bf16 in any mix with x
//   bias     [out]      the dtype of x, or f32 beside bf16 (rounded to it); may be undefined in linear
//   y        [..,out]   the dtype of x, contiguous
//   sums     f32 (f64 for f64)
//   saved    x and weight (no bytes of their own); linear_gelu also pre: rows * out * element size
//
// Bias and GELU are applied while the product is in the cache (kernels/gemm): y needs no pass of its own. In backward,
// dweight and dbias are added straight into the gradient buffer of the parameter.
//
// CUDA     cuBLASLt with the bias in its epilogue; dbias comes out of the product for dweight where that overwrites
//          (BGRADB), else from a sum over columns. GELU is a pass of its own over pre, 2 elements of memory traffic for
//          each of y: the library's epilogue is the tanh form. f32 or bf16; mixing them runs on slower kernels of ours.
#include "tensor/tensor.h"

namespace vigor {

// Both throw std::invalid_argument when shapes or dtypes break the table above.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});
Tensor linear_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias);

}  // namespace vigor
