#pragma once
// Launchers of the element by element operations. Results are contiguous; inputs have the sizes of the result and any
// strides (0 where they were expanded), all of one dtype: f32, f64 (CPU only) or bf16 (computed in f32).
#include "kernels/elementwise/elementwise_table.h"
#include "tensor/view.h"

namespace vigor {

void unary_forward_cpu(Unary op, const TensorView& y, const TensorView& x, double s, double t);
// dx = dy f'; kept is x or y as the row says, and not read for Keep::nothing.
void unary_backward_cpu(Unary op, const TensorView& dx, const TensorView& dy, const TensorView& kept, double s,
                        double t);
void binary_forward_cpu(Binary op, const TensorView& y, const TensorView& a, const TensorView& b);
// dx = dy df/da (input 0) or dy df/db (input 1), of dy's sizes: the caller sums over expanded dimensions.
void binary_backward_cpu(Binary op, int input, const TensorView& dx, const TensorView& dy, const TensorView& a,
                         const TensorView& b);

void unary_forward_cuda(Unary op, const TensorView& y, const TensorView& x, double s, double t);
void unary_backward_cuda(Unary op, const TensorView& dx, const TensorView& dy, const TensorView& kept, double s,
                         double t);
void binary_forward_cuda(Binary op, const TensorView& y, const TensorView& a, const TensorView& b);
void binary_backward_cuda(Binary op, int input, const TensorView& dx, const TensorView& dy, const TensorView& a,
                          const TensorView& b);

}  // namespace vigor
