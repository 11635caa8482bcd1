#pragma once
// Running sums along a dimension.
//
//   forward    y_t = x_0 + x_1 + ... + x_t          backward   dx_t = dy_t + dy_{t+1} + ... + dy_{T-1}
//
//   x, y       any sizes, f32, f64 or bf16; x may be strided
//   saved      nothing
//
// Sums are carried in f64, so that the last of many f32 sums is as accurate as the first.
// Errors: std::invalid_argument for a dimension that x does not have.
#include "tensor/tensor.h"

namespace vigor {

Tensor cumsum(const Tensor& x, int dim);

}  // namespace vigor
