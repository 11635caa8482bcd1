#pragma once
#include "kernels/adamw/adamw_factors.h"
#include "kernels/random_sequence.h"
#include "tensor/simd.h"

namespace vigor {

// `first`: the number of element 0 in its tensor; it and the key are for moments in bf16.
// clang-format off
VIGOR_PER_ISA(
    void adamw(float* p, const float* g, float* m, float* v, int64_t n, const AdamWFactors<float>& f,
               const MomentsKey& key, int64_t first);
    void adamw(float* p, const float* g, bf16* m, bf16* v, int64_t n, const AdamWFactors<float>& f,
               const MomentsKey& key, int64_t first);
    // p is the master; rounded[i] = p[i] to nearest afterwards.
    void adamw_mixed(bf16* rounded, float* p, const bf16* g, float* m, float* v, int64_t n,
                     const AdamWFactors<float>& f, const MomentsKey& key, int64_t first);
    void adamw_mixed(bf16* rounded, float* p, const bf16* g, bf16* m, bf16* v, int64_t n,
                     const AdamWFactors<float>& f, const MomentsKey& key, int64_t first);
    // rounded[i] = p[i], with the words of `random`.
    void round_stochastically(bf16* rounded, const float* p, int64_t n, const RandomSequence& random);)
// clang-format on

}  // namespace vigor
