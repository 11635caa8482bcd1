#pragma once
// Inputs that the tests of both devices share.
#include "kernels/mamba2_scan/mamba2_scan.h"
#include "tests/support/sequence_testing.h"

namespace vigor::testing::mamba2_scan_cases {

inline constexpr size_t kState = 7;  // of the inputs

struct Sizes {
  int64_t B, T, H, P, G, N;
};

// x, dt, B, C, a_log, D, dt_bias, state. Decays from slow (0.97 a step) to so fast that a state is forgotten at once,
// as in a trained model.
inline SequenceCase make_case(const Sizes& n, Dtype dtype = Dtype::f64) {
  return {
      {random({n.B, n.T, n.H, n.P}, dtype, 1), random({n.B, n.T, n.H}, dtype, 2, -2, 2),
       random({n.B, n.T, n.G, n.N}, dtype, 3), random({n.B, n.T, n.G, n.N}, dtype, 4), random({n.H}, dtype, 5, -3, 2),
       random({n.H}, dtype, 6), random({n.H}, dtype, 7, -2, 1), random({n.B, n.H, n.P, n.N}, dtype, 8)},
      {},
      {}};
}

// ragged() with two resets in a row, and another one, in the first sequence.
inline SequenceCase ragged_case(Sizes n) {
  n.B = 4;
  SequenceCase c = ragged(make_case(n));
  for (const int64_t t : {n.T / 3 + 1, 2 * n.T / 3}) c.resets.data<uint8_t>()[t] = 1;
  return c;
}

inline SequenceOperation scan(double dt_min = 0, double dt_max = std::numeric_limits<double>::infinity()) {
  return {4, [=](std::span<const Tensor> in, const Tensor& lengths, const Tensor& resets) -> std::vector<Tensor> {
            const Mamba2ScanResult r = mamba2_scan(in[0], in[1], in[2], in[3], in[4], in[5], in[6],
                                                   {in[kState], lengths, resets, dt_min, dt_max});
            return {r.y, r.last_state};
          }};
}
inline const SequenceOperation kScan = scan();

}  // namespace vigor::testing::mamba2_scan_cases
