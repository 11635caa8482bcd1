#pragma once
// Picking elements by number.
//
//   index_select   y[.., j, ..] = x[.., ids[j], ..]                 dx[.., ids[j], ..] += dy[.., j, ..]
//   gather         y[.., j, ..] = x[.., ids[.., j, ..], ..]         dx[.., ids[.., j, ..], ..] += dy[.., j, ..]
//                  (in both, the position j is along `dim`)
//
//   x     any sizes, any dtype, any strides (gradients: f32, f64, bf16)
//   ids   i32 or i64, in [0, size of x along dim)
//         index_select   [n]: y has x's sizes with n along dim
//         gather         the rank of x, elsewhere than along dim at most x's sizes: y has the sizes of ids
//   saved ids
//
// Gradients of an element picked several times are added in the order of ids: f32 (also for bf16) or f64, the same for
// every number of threads.
// Errors: std::invalid_argument; for an id out of range with its position.
#include "tensor/tensor.h"

namespace vigor {

Tensor index_select(const Tensor& x, int dim, const Tensor& ids);
Tensor gather(const Tensor& x, int dim, const Tensor& ids);

}  // namespace vigor
