#pragma once
// Inputs and comparisons that the tests of both devices share.
#include "autograd/engine.h"
#include "kernels/hybrid_mixer/hybrid_mixer.h"
#include "tests/support/testing.h"

namespace vigor::testing::hybrid_mixer_cases {

// Inputs in the order of the function; options after them.
struct Case {
  std::vector<Tensor> inputs;  // x, w_mix, A, B, C, D, h0, s0
  Tensor lengths, resets;
};

inline Case make_case(int64_t B, int64_t T, int64_t d, int64_t n, Dtype dtype = Dtype::f64) {
  // A has a spectral radius of about 1 and w_mix covers negative values and values above 1.
  const double scale = 1.5 / std::sqrt(static_cast<double>(n));
  return {{random({B, T, d}, dtype, 1), random({d}, dtype, 2, -0.4, 1.1), random({n, n}, dtype, 3, -scale, scale),
           random({n, d}, dtype, 4), random({d, n}, dtype, 5), random({d}, dtype, 6), random({B, d}, dtype, 7),
           random({B, n}, dtype, 8)},
          {},
          {}};
}

inline Case ragged_case(int64_t T, int64_t d, int64_t n, Dtype dtype = Dtype::f64) {
  Case c = make_case(4, T, d, n, dtype);
  const int32_t length = static_cast<int32_t>(T);
  c.lengths = from_values(std::vector<int32_t>{length, length / 2, 1, 0}, {4});
  std::vector<uint8_t> resets(static_cast<size_t>(4 * T), 0);
  resets[static_cast<size_t>(T / 3)] = 1;          // inside sequence 0,
  resets[static_cast<size_t>(T)] = 1;              // at the first step of sequence 1,
  resets[static_cast<size_t>(2 * T - 1)] = 1;      // in its padding,
  resets[static_cast<size_t>(T + T / 2 - 1)] = 1;  // and at its last step
  c.resets = from_values(resets, {4, T});
  return c;
}

inline HybridMixerResult run(std::span<const Tensor> in, const Tensor& lengths = {}, const Tensor& resets = {}) {
  return hybrid_mixer(in[0], in[1], in[2], in[3], in[4], in[5], {in[6], in[7], lengths, resets});
}
inline std::vector<Tensor> as_vector(const HybridMixerResult& r) { return {r.y, r.h_last, r.s_last}; }

// A fixed random gradient for a result.
inline Tensor output_gradient(const Tensor& y) {
  return testing::converted(random(y.shape(), Dtype::f64, 100 + static_cast<uint32_t>(y.size(-1))), y.dtype());
}

// Errors are measured against the largest element: every element is a sum over terms of that size.
inline void expect_near_largest(const Tensor& actual, const Tensor& expected, double tolerance) {
  double largest = 0;
  for (const double v : expected.to_vector<double>()) largest = std::max(largest, std::fabs(v));
  expect_close(actual, expected, tolerance * largest);
}

// Results, then the gradients of all inputs for fixed random gradients of the three results.
inline std::vector<Tensor> results_and_gradients(const Case& c, Dtype dtype, Device device = kCpu) {
  std::vector<Tensor> in;
  for (const Tensor& input : c.inputs) {
    if (!input.defined()) {
      in.push_back(input);
      continue;
    }
    const Dtype used = in.empty() || dtype == Dtype::f64 ? dtype : Dtype::f32;
    in.push_back(set_requires_grad(to_device(testing::converted(input, used), device)));
  }
  const auto there = [&](const Tensor& x) { return x.defined() ? to_device(x, device) : x; };
  const std::vector<Tensor> out = as_vector(run(in, there(c.lengths), there(c.resets)));
  std::vector<Tensor> up, all;
  for (const Tensor& y : out) {
    all.push_back(to_device(y, kCpu));
    up.push_back(there(output_gradient(y)));
  }
  backward(out, up);
  for (const Tensor& x : in) all.push_back(x.defined() ? to_device(grad(x), kCpu) : x);
  return all;
}

}  // namespace vigor::testing::hybrid_mixer_cases
