#pragma once
#include "kernels/adamw/adamw.h"
#include "tensor/view.h"

namespace vigor {

// All views contiguous, of one size and dtype.
void adamw_cpu(const TensorView& param, const TensorView& grad, const TensorView& m, const TensorView& v,
               const StepState& state, const AdamWOptions& options);

}  // namespace vigor
