#pragma once
#include "tensor/view.h"

namespace vigor {

int64_t square_sum_blocks(int64_t count);
// The sum of squares of x [n]; `partial` [square_sum_blocks(n)] f64 is working memory.
double square_sum_cpu(const TensorView& x, const TensorView& partial);

}  // namespace vigor
