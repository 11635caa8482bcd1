#pragma once
#include "tensor/simd.h"

namespace vigor {

// One row of n elements. A gradient that is null is skipped.
VIGOR_PER_ISA(void swiglu_forward(float* y, const float* gate, const float* up, int64_t n, float multiplier);
              void swiglu_forward(bf16* y, const bf16* gate, const bf16* up, int64_t n, float multiplier);
              void swiglu_backward(float* dgate, float* dup, const float* dy, const float* gate, const float* up,
                                   int64_t n, float multiplier);
              void swiglu_backward(bf16* dgate, bf16* dup, const bf16* dy, const bf16* gate, const bf16* up, int64_t n,
                                   float multiplier);)

}  // namespace vigor
