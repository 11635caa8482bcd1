#pragma once
// Launcher of the choice by a mask.
#include "tensor/view.h"

namespace vigor {

// y = mask ? a : b. All of y's sizes; y is contiguous, the others have any strides (0 where they were expanded).
void where_cpu(const TensorView& y, const TensorView& mask, const TensorView& a, const TensorView& b);
void where_cuda(const TensorView& y, const TensorView& mask, const TensorView& a, const TensorView& b);

}  // namespace vigor
