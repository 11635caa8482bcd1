#pragma once
// Launcher of running sums.
#include "tensor/view.h"

namespace vigor {

// Along `dim`, from its first element on, or with `reverse` from its last one back. y is contiguous, x may be strided;
// f32, f64 (CPU only) or bf16.
void cumsum_cpu(const TensorView& y, const TensorView& x, int dim, bool reverse);
void cumsum_cuda(const TensorView& y, const TensorView& x, int dim, bool reverse);

}  // namespace vigor
