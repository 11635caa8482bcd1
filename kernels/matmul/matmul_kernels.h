#pragma once
// Launcher of batched matrix products.
#include "tensor/view.h"

namespace vigor {

// True when the product can read the matrices [.., R, C] as they lie: rows or columns without gaps inside.
bool is_matrix_layout(const TensorView& x);

// y = a b, or y += a b. y [.., M, N] is contiguous; a [.., M, K] and b [.., K, N] have y's leading sizes (stride 0
// where they were expanded) and a matrix layout.
void matmul_cpu(const TensorView& y, const TensorView& a, const TensorView& b, bool accumulate);
void matmul_cuda(const TensorView& y, const TensorView& a, const TensorView& b, bool accumulate);

}  // namespace vigor
