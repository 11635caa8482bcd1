#pragma once
// Inputs that the tests of both devices share.
#include "kernels/selective_scan/selective_scan.h"
#include "tests/support/sequence_testing.h"

namespace vigor::testing::selective_scan_cases {

// x, delta, b, c, a_log, d, delta_bias, state
inline SequenceCase make_case(int64_t B, int64_t T, int64_t E, int64_t N) {
  return {{random({B, T, E}, Dtype::f64, 1), random({B, T, E}, Dtype::f64, 2, -2, 2), random({B, T, N}, Dtype::f64, 3),
           random({B, T, N}, Dtype::f64, 4), random({E, N}, Dtype::f64, 5, -2, 1), random({E}, Dtype::f64, 6),
           random({E}, Dtype::f64, 7, -2, 0), random({B, E, N}, Dtype::f64, 8)},
          {},
          {}};
}

inline const SequenceOperation kSelectiveScan{
    4, [](std::span<const Tensor> in, const Tensor& lengths, const Tensor& resets) -> std::vector<Tensor> {
      const SelectiveScanResult r =
          selective_scan(in[0], in[1], in[2], in[3], in[4], in[5], in[6], {in[7], lengths, resets});
      return {r.y, r.last_state};
    }};

}  // namespace vigor::testing::selective_scan_cases
