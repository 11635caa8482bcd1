#pragma once
// Choosing between values by a mask.
//
//   where         y = a where mask is not 0, else b         da = dy where mask is not 0, else 0;  db the other way
//   masked_fill   y = value where mask is not 0, else x     dx = 0 where mask is not 0, else dy
//
//   mask          u8; sizes of all arguments broadcast as in NumPy, gradients are summed over what was expanded;
//                 the mask of masked_fill must fit into x's sizes
//   a, b, x, y    any dtype, a and b the same; any strides
//   saved         the mask
//   CUDA          a thread chooses 16 bytes of the result (kernels/map_cuda.cuh). Mask and both choices are read and y
//   is
//                 written once; what was broadcast is read again from the cache
//
// Errors: std::invalid_argument for a mask that is not u8, two dtypes, sizes that do not broadcast.
#include "tensor/tensor.h"

namespace vigor {

Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b);
Tensor masked_fill(const Tensor& x, const Tensor& mask, double value);

}  // namespace vigor
