#pragma once
// Root-mean-square normalisation over the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467). For each row of
// x [..,C]:
//
//   forward    rstd = 1 / sqrt(sum x^2 / C + eps),   xhat = x rstd,   y = xhat weight
//   backward   g = dy weight
//              dx = rstd (g - xhat mean(g xhat))
//              dweight = sum over rows of dy xhat
//
//   x, y     [..,C]  f32, f64 or bf16, any strides; y contiguous
//   weight   [C]     the dtype of x, or f32 beside bf16
//   sums     in f32 (f64 for f64)
//   saved    x (no bytes of its own when contiguous) and rstd: 4 bytes a row (8 for f64)
//
// Backward reads x and dy once for both gradients; rows are summed in blocks that do not depend on the threads.
//
// CUDA     f32 and bf16. A warp owns a row of up to 512 elements and a block a wider one, up to 8192, and holds it in
//          registers. Forward moves the least, x in and y out and 4 bytes a row; backward x and dy in and dx out, 4
//          bytes a row, and the sums of up to 256 blocks of rows, 4 C bytes each, out and in. The weight is read once a
//          row, from the caches. Shared memory: up to 2 KB. Rows that are wider, or no whole number of 16-byte packs,
//          are read twice forward and three times backward.
#include "tensor/tensor.h"

namespace vigor {

// Throws std::invalid_argument when weight is not [C], C is 0, or a dtype is not listed above.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps = 1e-5);

}  // namespace vigor
