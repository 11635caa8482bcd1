#pragma once
// Inputs and comparisons that the tests of both devices share.
#include "autograd/engine.h"
#include "kernels/causal_conv1d/causal_conv1d.h"
#include "tests/support/near_largest.h"

namespace vigor::testing::causal_conv1d_cases {

using testing::expect_near_largest;

struct Case {
  std::vector<Tensor> inputs;  // x, weight, bias, state
  Tensor lengths, resets;
  bool silu = true;
};

inline Case make_case(int64_t B, int64_t T, int64_t C, int64_t K) {
  return {{random({B, T, C}, Dtype::f64, 1), random({C, 1, K}, Dtype::f64, 2), random({C}, Dtype::f64, 3),
           random({B, K - 1, C}, Dtype::f64, 4)},
          {},
          {},
          true};
}

// Four sequences: whole, half, one step and none; with resets inside, at the beginning, at the end and in padding.
inline Case ragged_case(int64_t T, int64_t C, int64_t K) {
  Case c = make_case(4, T, C, K);
  const auto length = static_cast<int32_t>(T);
  c.lengths = from_values(std::vector<int32_t>{length, length / 2, 1, 0}, {4});
  std::vector<uint8_t> resets(static_cast<size_t>(4 * T), 0);
  for (const int64_t t : {T / 3, T - 1, T, T + T / 2 - 1, 2 * T - 1}) resets[static_cast<size_t>(t)] = 1;
  c.resets = from_values(resets, {4, T});
  return c;
}

inline std::vector<Tensor> run(const Case& c, std::span<const Tensor> in) {
  const CausalConv1dResult r = causal_conv1d(in[0], in[1], in[2], {in[3], c.lengths, c.resets, c.silu});
  return {r.y, r.last_state};
}

// A fixed random gradient for a result.
inline Tensor output_gradient(const Tensor& y) {
  return converted(random(y.shape(), Dtype::f64, 100 + static_cast<uint32_t>(y.size(1))), y.dtype());
}

// y and last_state, then the gradients of the inputs for fixed random gradients of both; activations and state in
// `dtype`, weight and bias in `parameters`.
inline std::vector<Tensor> results_and_gradients(const Case& c, Dtype dtype, Dtype parameters, Device device = kCpu) {
  Case there = c;
  if (c.lengths.defined()) there.lengths = to_device(c.lengths, device);
  if (c.resets.defined()) there.resets = to_device(c.resets, device);
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.inputs[i].defined())
      there.inputs[i] =
          set_requires_grad(to_device(converted(c.inputs[i], i == 1 || i == 2 ? parameters : dtype), device));
  const std::vector<Tensor> out = run(there, there.inputs);
  std::vector<Tensor> up, all;
  for (const Tensor& y : out) {
    all.push_back(to_device(y, kCpu));
    up.push_back(to_device(output_gradient(y), device));
  }
  backward(out, up);
  for (const Tensor& x : there.inputs) all.push_back(x.defined() ? to_device(grad(x), kCpu) : x);
  return all;
}

// The same numbers after rounding, in f64.
inline Case rounded(Case c, Dtype dtype, Dtype parameters) {
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.inputs[i].defined())
      c.inputs[i] = converted(converted(c.inputs[i], i == 1 || i == 2 ? parameters : dtype), Dtype::f64);
  return c;
}

}  // namespace vigor::testing::causal_conv1d_cases
