#pragma once
#include "tensor/simd.h"

namespace vigor {

VIGOR_PER_ISA(double square_sum(const float* x, int64_t count);)

}  // namespace vigor
