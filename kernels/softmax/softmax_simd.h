#pragma once
#include "tensor/simd.h"

namespace vigor {

// Rows of n elements, one after the other.
VIGOR_PER_ISA(void softmax_forward(float* y, const float* x, int64_t rows, int64_t n);
              void softmax_forward(bf16* y, const bf16* x, int64_t rows, int64_t n);
              void softmax_backward(float* dx, const float* dy, const float* y, int64_t rows, int64_t n);
              void softmax_backward(bf16* dx, const bf16* dy, const bf16* y, int64_t rows, int64_t n);)

}  // namespace vigor
