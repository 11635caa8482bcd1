#pragma once
// The fast loops of squared ReLU over n neighbouring elements.
#include "tensor/simd.h"

namespace vigor {

// clang-format off
VIGOR_PER_ISA(
    void squared_relu_forward(float* y, const float* x, int64_t n);
    void squared_relu_forward(bf16* y, const bf16* x, int64_t n);
    void squared_relu_backward(float* dx, const float* dy, const float* x, int64_t n);
    void squared_relu_backward(bf16* dx, const bf16* dy, const bf16* x, int64_t n);)
// clang-format on

}  // namespace vigor
