#pragma once
// Other windows on the same elements, all differentiable.
//
//   reshape     the same elements in row-major order under other sizes      dx = reshape(dy, sizes of x)
//   permute     y[i_d0, i_d1, ...] = x[i_0, i_1, ...]                       dx = permute(dy, inverse dims)
//   transpose   two dimensions exchanged                                    likewise
//   slice       x[..., start : end : step, ...]                             dx = 0 with dy written into the slice
//   expand      dimensions of size 1 (or missing in front) repeated         dx = dy summed over them
//   contiguous  the same elements, one after the other in memory            dx = dy
//
// Any dtype. Nothing is copied and nothing is saved, except: reshape copies when the strides of x do not allow the new
// sizes, contiguous when x is not contiguous. Results share x's memory: who writes one writes both.
// Errors: std::invalid_argument for sizes or dimensions that do not fit x.
#include <vector>

#include "tensor/tensor.h"

namespace vigor {

Tensor reshape(const Tensor& x, const Shape& sizes);            // one size may be -1: as many as are left
Tensor permute(const Tensor& x, const std::vector<int>& dims);  // dimension i of the result is dims[i] of x
Tensor transpose(const Tensor& x, int dim0, int dim1);
// As in Python: negative positions count from the end, and positions outside are moved to the nearest end. step >= 1.
Tensor slice(const Tensor& x, int dim, int64_t start, int64_t end, int64_t step = 1);
Tensor expand(const Tensor& x, const Shape& sizes);
Tensor contiguous(const Tensor& x);  // x itself when it is contiguous

}  // namespace vigor
