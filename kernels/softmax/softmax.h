#pragma once
// Softmax along one dimension of n elements.
//
//   forward    y_i = exp(x_i - max x) / sum_j exp(x_j - max x)      the maximum keeps every exponential at most 1
//   backward   dx_i = y_i (dy_i - sum_j dy_j y_j)
//
//   x, y    [..,n,..]  f32, f64 or bf16, any strides; y contiguous. -infinity (a mask) gives 0; a row of nothing else
//                      NaN
//   sums    f32 (f64 for f64)
//   saved   y, which the caller holds too: no bytes of its own
//
// Fast along the last dimension. Attention and the cross-entropy head contain their own (kernels/attention,
// kernels/cross_entropy) and do not call this.
//
// CUDA      f32 and bf16. Along the last dimension four versions, version 1 one thread a row; in the last a warp owns a
//           row of up to 512 elements and a block a wider one, up to 8192, and holds it in registers: x in and y out,
//           backward dy and y in and dx out, the least. Rows that are wider, or no whole number of 16-byte packs, are
//           read twice. Along other dimensions a thread owns a line, neighbouring threads neighbouring lines, and reads
//           it three times (backward: twice). Shared memory: up to 128 bytes.
#include "tensor/tensor.h"

namespace vigor {

// `dim` counts from the end when negative. Throws std::invalid_argument for other dtypes or a dimension out of range.
Tensor softmax(const Tensor& x, int dim = -1);

}  // namespace vigor
