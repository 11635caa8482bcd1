#pragma once
// Launchers of reductions. y has the rank of x and size 1 in every reduced dimension. f32, f64, bf16; x may be strided.
#include "kernels/reduce/reduce_simd.h"
#include "tensor/view.h"

namespace vigor {

// y = scale * sum of x, or its maximum (scale 1) over at least one element. y is contiguous.
void reduce_cpu(Reduction r, const TensorView& y, const TensorView& x, double scale);
// dx = dy where x is the first of the elements equal to y, in row-major order, and 0 elsewhere. dx is contiguous; dy
// may be strided.
void max_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& x, const TensorView& y);

}  // namespace vigor
