#pragma once
// Inputs that the tests of both devices share.
#include "kernels/hybrid_mixer/hybrid_mixer.h"
#include "tests/support/sequence_testing.h"

namespace vigor::testing::hybrid_mixer_cases {

// x, w_mix, A, B, C, D, h0, s0
inline SequenceCase make_case(int64_t B, int64_t T, int64_t d, int64_t n, Dtype dtype = Dtype::f64) {
  // A has a spectral radius of about 1 and w_mix covers negative values and values above 1.
  const double scale = 1.5 / std::sqrt(static_cast<double>(n));
  return {{random({B, T, d}, dtype, 1), random({d}, dtype, 2, -0.4, 1.1), random({n, n}, dtype, 3, -scale, scale),
           random({n, d}, dtype, 4), random({d, n}, dtype, 5), random({d}, dtype, 6), random({B, d}, dtype, 7),
           random({B, n}, dtype, 8)},
          {},
          {}};
}
inline SequenceCase ragged_case(int64_t T, int64_t d, int64_t n) { return ragged(make_case(4, T, d, n)); }

inline HybridMixerResult run(std::span<const Tensor> in, const Tensor& lengths = {}, const Tensor& resets = {}) {
  return hybrid_mixer(in[0], in[1], in[2], in[3], in[4], in[5], {in[6], in[7], lengths, resets});
}
inline std::vector<Tensor> as_vector(const HybridMixerResult& r) { return {r.y, r.h_last, r.s_last}; }

inline const SequenceOperation kHybridMixer{
    .activations = 1,
    .run = [](std::span<const Tensor> in, const Tensor& lengths,
              const Tensor& resets) { return as_vector(run(in, lengths, resets)); },
    .states = 2};

}  // namespace vigor::testing::hybrid_mixer_cases
