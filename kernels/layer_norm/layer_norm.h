#pragma once
// Layer normalisation over the last dimension (Ba et al. 2016, arXiv:1607.06450). For each row of x [..,C]:
//
//   forward    mean = sum x / C,   rstd = 1 / sqrt(sum (x - mean)^2 / C + eps),   xhat = (x - mean) rstd
//              y = xhat weight + bias
//   backward   g = dy weight
//              dx = rstd (g - mean(g) - xhat mean(g xhat))
//              dweight = sum over rows of dy xhat,   dbias = sum over rows of dy
//
//   x, y           [..,C]  f32, f64 or bf16, any strides; y contiguous
//   weight, bias   [C]     the dtype of x, or f32 beside bf16
//   sums           in f32 (f64 for f64); the variance from differences to the mean, so a large mean costs no digits
//   saved          x (no bytes of its own when contiguous), mean and rstd: 8 bytes a row (16 for f64)
//
// Backward reads x and dy once for all three gradients; rows are summed in blocks that do not depend on the threads.
//
// CUDA       f32 and bf16. Three versions, version 1 one thread a row; in the last a warp owns a row of up to 512
//            elements and a block a wider one, up to 8192, and holds it in registers. Forward moves the least, x in and
//            y out and 8 bytes a row; backward x and dy in and dx out, 8 bytes a row, and the sums of up to 256 blocks
//            of rows, 8 C bytes each, out and in. The parameters are read once a row, from the caches. Shared memory:
//            up to 2 KB. Rows that are wider, or no whole number of 16-byte packs, take version 2: three reads forward,
//            four backward, most of them from the caches.
#include "tensor/tensor.h"

namespace vigor {

// Throws std::invalid_argument when weight or bias is not [C], C is 0, or a dtype is not listed above.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

}  // namespace vigor
