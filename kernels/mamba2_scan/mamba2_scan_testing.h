#pragma once
// Inputs and comparisons that the tests of both devices share.
#include "autograd/engine.h"
#include "kernels/mamba2_scan/mamba2_scan.h"
#include "tests/support/near_largest.h"

namespace vigor::testing::mamba2_scan_cases {

using testing::expect_near_largest;

// Inputs in the order of the function; options after them.
struct Case {
  std::vector<Tensor> inputs;  // x, dt, B, C, a_log, D, dt_bias, state
  Tensor lengths, resets;
  double dt_min = 0, dt_max = std::numeric_limits<double>::infinity();
};
inline constexpr size_t kState = 7;

struct Sizes {
  int64_t B, T, H, P, G, N;
};

// Decays from slow (0.97 a step) to so fast that a state is forgotten at once, as in a trained model.
inline Case make_case(const Sizes& n, Dtype dtype = Dtype::f64) {
  Case c;
  c.inputs = {random({n.B, n.T, n.H, n.P}, dtype, 1), random({n.B, n.T, n.H}, dtype, 2, -2, 2),
              random({n.B, n.T, n.G, n.N}, dtype, 3), random({n.B, n.T, n.G, n.N}, dtype, 4),
              random({n.H}, dtype, 5, -3, 2),         random({n.H}, dtype, 6),
              random({n.H}, dtype, 7, -2, 1),         random({n.B, n.H, n.P, n.N}, dtype, 8)};
  return c;
}

// Four sequences of lengths T, T/2, 1 and 0, with resets inside a sequence, at its first and last step, twice in a row,
// and in the padding.
inline Case ragged_case(Sizes n, Dtype dtype = Dtype::f64) {
  n.B = 4;
  Case c = make_case(n, dtype);
  const int32_t length = static_cast<int32_t>(n.T);
  c.lengths = from_values(std::vector<int32_t>{length, length / 2, 1, 0}, {4});
  std::vector<uint8_t> resets(static_cast<size_t>(4 * n.T), 0);
  const auto reset = [&](int64_t b, int64_t t) { resets[static_cast<size_t>(b * n.T + t)] = 1; };
  for (const int64_t t : {n.T / 3, n.T / 3 + 1, 2 * n.T / 3}) reset(0, t);
  reset(1, 0);
  reset(1, n.T / 2 - 1);
  reset(1, n.T - 1);
  c.resets = from_values(resets, {4, n.T});
  return c;
}

inline Mamba2ScanResult run(std::span<const Tensor> in, const Case& c) {
  return mamba2_scan(in[0], in[1], in[2], in[3], in[4], in[5], in[6],
                     {in[kState], c.lengths, c.resets, c.dt_min, c.dt_max});
}
inline Mamba2ScanResult run(const Case& c) { return run(c.inputs, c); }
inline std::vector<Tensor> as_vector(const Mamba2ScanResult& r) { return {r.y, r.last_state}; }

// A fixed random gradient for a result: numbers that bf16 holds, the same ones for every dtype.
inline Tensor output_gradient(const Tensor& y) {
  return converted(random(y.shape(), Dtype::bf16, 100 + static_cast<uint32_t>(y.size(-1))), y.dtype());
}

// The case with inputs rounded to what a kernel for `dtype` sees: activations in it, parameters and state in f32.
inline Case rounded_to(const Case& c, Dtype dtype) {
  Case rounded = c;
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.inputs[i].defined())
      rounded.inputs[i] = converted(converted(c.inputs[i], i < 4 ? dtype : Dtype::f32), Dtype::f64);
  return rounded;
}

// Results, then the gradients of all inputs for fixed random gradients of both results.
inline std::vector<Tensor> results_and_gradients(const Case& c, Dtype dtype, Device device = kCpu) {
  std::vector<Tensor> in;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const Dtype used = i < 4 || dtype == Dtype::f64 ? dtype : Dtype::f32;
    in.push_back(c.inputs[i].defined() ? set_requires_grad(to_device(converted(c.inputs[i], used), device)) : Tensor());
  }
  const auto there = [&](const Tensor& x) { return x.defined() ? to_device(x, device) : x; };
  Case placed = c;
  placed.lengths = there(c.lengths);
  placed.resets = there(c.resets);
  const std::vector<Tensor> out = as_vector(run(in, placed));
  std::vector<Tensor> up, all;
  for (const Tensor& y : out) {
    all.push_back(to_device(y, kCpu));
    up.push_back(there(output_gradient(y)));
  }
  backward(out, up);
  for (const Tensor& x : in) all.push_back(x.defined() ? to_device(grad(x), kCpu) : x);
  return all;
}

}  // namespace vigor::testing::mamba2_scan_cases
