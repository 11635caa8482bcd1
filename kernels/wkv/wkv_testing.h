#pragma once
// Inputs that the tests of both devices share.
#include "kernels/wkv/wkv.h"
#include "tests/support/sequence_testing.h"

namespace vigor::testing::wkv_cases {

// k, v, time_decay, time_first, state. The state is one that another wkv could have left: b is positive.
inline SequenceCase make_case(int64_t B, int64_t T, int64_t C) {
  const Tensor state = random({B, 3, C}, Dtype::f64, 5);
  fill_uniform(sliced(state, 1, 1, 2, 1, "b"), 0.1, 1, {7, RandomStream::init, 6, 0});
  return {{random({B, T, C}, Dtype::f64, 1, -3, 3), random({B, T, C}, Dtype::f64, 2), random({C}, Dtype::f64, 3, -3, 1),
           random({C}, Dtype::f64, 4), state},
          {},
          {}};
}

inline const SequenceOperation kWkv{
    2, [](std::span<const Tensor> in, const Tensor& lengths, const Tensor& resets) -> std::vector<Tensor> {
      const WkvResult r = wkv(in[0], in[1], in[2], in[3], {in[4], lengths, resets});
      return {r.y, r.last_state};
    }};

}  // namespace vigor::testing::wkv_cases
