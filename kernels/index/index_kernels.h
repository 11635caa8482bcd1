#pragma once
// Launchers of gather and its gradient. All views have one rank. `ids` has the sizes of y (index_select expands its ids
// to them with stride 0), i32 or i64, on a CPU checked to be in range. Any strides.
#include "tensor/view.h"

namespace vigor {

// The row-major position of the first id outside [0, size); -1 when there is none.
int64_t first_out_of_range_cpu(const TensorView& ids, int64_t size);

// y[.., j, ..] = x[.., ids[.., j, ..], ..] with j along dim. Any dtype.
void gather_cpu(const TensorView& y, const TensorView& x, int dim, const TensorView& ids);

// dx[.., ids[.., j, ..], ..] += dy[.., j, ..], for j in order. dx is f32 or f64; dy the same or bf16 beside f32.
void gather_backward_cpu(const TensorView& dx, const TensorView& dy, int dim, const TensorView& ids);

// The same on a GPU, where ids are not checked: one that is out of range gives an element with ones in all bits, and no
// gradient. dx is f32.
void gather_cuda(const TensorView& y, const TensorView& x, int dim, const TensorView& ids);
void gather_backward_cuda(const TensorView& dx, const TensorView& dy, int dim, const TensorView& ids);

}  // namespace vigor
