#pragma once
// Joining tensors along a dimension, and cutting one into pieces.
//
//   cat        y = [x_0, x_1, ...]                   dx_i = its piece of dy, a view
//   split      y_i = its piece of x, a view          dx = [dy_0, dy_1, ...]; a piece without a gradient counts as 0
//
//   parts      of one dtype, with equal sizes except along dim
//   saved      nothing
//
// One split costs one gradient of x's size, where a slice for each piece would cost one for every piece.
// Errors: std::invalid_argument for no parts, parts that do not fit together, sizes that do not add up to x's.
#include <initializer_list>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace vigor {

Tensor cat(std::span<const Tensor> parts, int dim);
Tensor cat(std::initializer_list<Tensor> parts, int dim);
std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int dim);
std::vector<Tensor> split(const Tensor& x, int64_t chunk, int dim);  // equal pieces; the last may be shorter

}  // namespace vigor
