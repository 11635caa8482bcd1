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
//         on the device of x
//   saved ids
//
// Gradients of an element picked several times are added in the order of ids: f32 (also for bf16) or f64, the same for
// every number of threads.
// Errors: std::invalid_argument; for an id out of range with its position.
//
// CUDA    one thread an element of y, or of dy: the first with an id adds up the others of its line, in order, and each
//         looks through the ids of its line for that. Gradients: f32 and bf16. An id out of range cannot be reported
//         without waiting for the device: it gives NaN (integers: -1, u8: 255), and no gradient.
#include "tensor/tensor.h"

namespace vigor {

Tensor index_select(const Tensor& x, int dim, const Tensor& ids);
Tensor gather(const Tensor& x, int dim, const Tensor& ids);

}  // namespace vigor
