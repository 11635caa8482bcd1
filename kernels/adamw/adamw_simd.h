#pragma once
#include "kernels/adamw/adamw_factors.h"
#include "tensor/simd.h"

namespace vigor {

// clang-format off
VIGOR_PER_ISA(
    void adamw(float* p, const float* g, float* m, float* v, int64_t n, const AdamWFactors<float>& f);
    // p is the master; rounded[i] = p[i] to nearest afterwards.
    void adamw_mixed(bf16* rounded, float* p, const bf16* g, float* m, float* v, int64_t n,
                     const AdamWFactors<float>& f);)
// clang-format on

}  // namespace vigor
