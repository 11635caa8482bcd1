#pragma once
// Inputs that the tests of both devices share.
#include "kernels/causal_conv1d/causal_conv1d.h"
#include "tests/support/sequence_testing.h"

namespace vigor::testing::causal_conv1d_cases {

// x, weight, bias, state
inline SequenceCase make_case(int64_t B, int64_t T, int64_t C, int64_t K) {
  return {{random({B, T, C}, Dtype::f64, 1), random({C, 1, K}, Dtype::f64, 2), random({C}, Dtype::f64, 3),
           random({B, K - 1, C}, Dtype::f64, 4)},
          {},
          {}};
}
inline SequenceCase ragged_case(int64_t T, int64_t C, int64_t K) { return ragged(make_case(4, T, C, K)); }

// `parameters`: the dtype of weight and bias beside bf16.
inline SequenceOperation convolution(bool silu = true, Dtype parameters = Dtype::f32) {
  return {
      .activations = 1,
      .run = [silu](std::span<const Tensor> in, const Tensor& lengths, const Tensor& resets) -> std::vector<Tensor> {
        const CausalConv1dResult r = causal_conv1d(in[0], in[1], in[2], {in[3], lengths, resets, silu});
        return {r.y, r.last_state};
      },
      .parameters = parameters,
      .keeps_inputs = true};
}
inline const SequenceOperation kConvolution = convolution();

}  // namespace vigor::testing::causal_conv1d_cases
