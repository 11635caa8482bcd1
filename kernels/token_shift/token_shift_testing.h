#pragma once
// Inputs that the tests of both devices share.
#include "kernels/token_shift/token_shift.h"
#include "tests/support/sequence_testing.h"

namespace vigor::testing::token_shift_cases {

// x, mix, state
inline SequenceCase make_case(int64_t B, int64_t T, int64_t C) {
  return {
      {random({B, T, C}, Dtype::f64, 1), random({C}, Dtype::f64, 2, -0.2, 1.2), random({B, C}, Dtype::f64, 3)}, {}, {}};
}

inline const SequenceOperation kTokenShift{
    1, [](std::span<const Tensor> in, const Tensor& lengths, const Tensor& resets) -> std::vector<Tensor> {
      const TokenShiftResult r = token_shift(in[0], in[1], {in[2], lengths, resets});
      return {r.y, r.last_state};
    }};

}  // namespace vigor::testing::token_shift_cases
