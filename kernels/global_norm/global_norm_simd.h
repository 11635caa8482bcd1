#pragma once
#include "tensor/simd.h"

namespace vigor {

// clang-format off
VIGOR_PER_ISA(
    double sum_of_squares(const float* x, int64_t n);
    double sum_of_squares(const bf16* x, int64_t n);)
// clang-format on

}  // namespace vigor
