#pragma once
// Matrix products of the last two dimensions, for every index of the ones before.
//
//   forward    y = a b            backward   da = dy b^T,  db = a^T dy   (summed over the dimensions they were expanded
//   in)
//
//   a          [.., M, K]         dimensions before the last two broadcast as in NumPy
//   b          [.., K, N]         one dtype: f32, f64, or bf16 (sums in f32, rounded once)
//   y          [.., M, N]
//   saved      a when b wants a gradient, b when a does
//
// Any strides: transposed and sliced matrices go to the product as they are; only a matrix without unit stride in
// either dimension is copied first. A batch times one matrix is a single product with B*M rows, and so is its gradient.
// CUDA         cuBLASLt (kernels/gemm/gemm_cuda.h), matrices of a batch at even distances in one call; f32 and bf16.
// Errors: std::invalid_argument for sizes that do not fit, fewer than two dimensions, two dtypes.
#include "tensor/tensor.h"

namespace vigor {

Tensor matmul(const Tensor& a, const Tensor& b);

}  // namespace vigor
