#pragma once
// Running sums along a dimension.
//
//   forward    y_t = x_0 + x_1 + ... + x_t          backward   dx_t = dy_t + dy_{t+1} + ... + dy_{T-1}
//
//   x, y       any sizes, f32, f64 or bf16; x may be strided
//   saved      nothing
//
// Sums are carried in f64, so that the last of many f32 sums is as accurate as the first.
// CUDA (f32 and bf16): a thread sums a line where 32 or more lie side by side, otherwise a block scans one, 256
// elements at a time, in order. x is read and y written once, the minimum. Errors: std::invalid_argument for a
// dimension that x does not have.
#include "tensor/tensor.h"

namespace vigor {

Tensor cumsum(const Tensor& x, int dim);

}  // namespace vigor
