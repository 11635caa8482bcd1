#pragma once
#include "tensor/philox.h"
#include "tensor/view.h"

namespace vigor {

// y = keep x / (1 - p); contiguous views of one size and dtype.
void dropout_cpu(const TensorView& y, const TensorView& x, double p, const RandomKey& key);

}  // namespace vigor
