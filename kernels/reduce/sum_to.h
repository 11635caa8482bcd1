#pragma once
// Undoes broadcasting in a gradient.
#include "tensor/tensor.h"

namespace vigor {

// The sum of x over the dimensions in which a tensor of `sizes` was expanded to x's sizes. x itself when there are
// none. Records nothing.
Tensor sum_to(const Tensor& x, const Shape& sizes);

}  // namespace vigor
