#pragma once
// Sum, mean and maximum over some or all dimensions.
//
//   sum        y = sum_i x_i             dx_i = dy
//   mean       y = sum_i x_i / n         dx_i = dy / n
//   max        y = max_i x_i             dx_i = dy for the first maximum in row-major order, else 0
//
//   x          any sizes, f32, f64 or bf16; may be strided
//   y          x's dtype; the named dimensions are gone, or of size 1 with `keepdim`
//   saved      sum, mean: nothing; max: x and y
//
// Sums of bf16 and f32 are formed in f32 over short stretches and in f64 over these; the result does not depend on the
// number of threads. The rule for equal maxima is that of torch.max(dim); torch.amax would share the gradient out.
// CUDA (f32 and bf16): a warp or block computes a result whose elements lie in a row, in packs of 16 bytes; where
// results lie side by side, a block computes 32 packs of them. Few results of many elements are cut into parts, added
// in a fixed order by a second kernel. x is read once, the minimum. The gradient of max reads x and writes dx, with one
// i64 a result between the two passes.
//
// A NaN among the elements makes the maximum NaN. The sum of no elements is 0, the mean NaN, the maximum an error.
// Errors: std::invalid_argument for a dimension that x does not have or that is named twice.
#include <vector>

#include "tensor/tensor.h"

namespace vigor {

Tensor sum(const Tensor& x);  // of all elements: a scalar []
Tensor mean(const Tensor& x);
Tensor max(const Tensor& x);

// Over the named dimensions, -1 is the last. An empty list names none: y has the values of x.
Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim = false);
Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim = false);
Tensor max(const Tensor& x, const std::vector<int>& dims, bool keepdim = false);

}  // namespace vigor
