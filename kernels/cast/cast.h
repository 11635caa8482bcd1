#pragma once
// Conversion between dtypes.
//
//   forward    y = x in another type: to a narrower floating type to nearest even, from floating to integer truncated
//   backward   dx = dy converted to x's dtype, when both are floating
//
//   x          any sizes, any dtype        y    the same sizes; x itself when it already has the dtype
//   saved      nothing
//
// Integer results have no gradient: the graph ends there.
#include "tensor/tensor.h"

namespace vigor {

Tensor cast(const Tensor& x, Dtype dtype);

}  // namespace vigor
