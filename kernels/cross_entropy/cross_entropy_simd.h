#pragma once
#include "tensor/simd.h"

namespace vigor {

// One row of n logits. Returns lse - x[target]; dx [n] = weight (softmax(x) - onehot(target)), unless null. dx may be
// x.
// clang-format off
VIGOR_PER_ISA(
    float cross_entropy_row(const float* x, int64_t n, int64_t target, float weight, float* dx);
    float cross_entropy_row(const bf16* x, int64_t n, int64_t target, float weight, bf16* dx);)
// clang-format on

}  // namespace vigor
