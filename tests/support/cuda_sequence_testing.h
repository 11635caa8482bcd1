#pragma once
// The checks of tests/support/sequence_testing.h for kernels on kCuda.
#include "tests/support/cuda_testing.h"
#include "tests/support/emulator_counters.h"
#include "tests/support/sequence_testing.h"

namespace vigor::testing {

inline void expect_cuda_equals_f64(const SequenceOperation& op, const SequenceCase& c, Dtype dtype, double tolerance) {
  const SequenceCase exact = rounded(op, c, dtype);
  const std::vector<Tensor> actual = results_and_gradients(op, exact, dtype, kCuda);
  EXPECT_EQ(actual[0].dtype(), dtype);
  EXPECT_EQ(actual[1].dtype(), op.dtype_of_states(dtype));
  expect_all_near(op, actual, results_and_gradients(op, exact, Dtype::f64), tolerance);
}

// Every bit is the same, whatever the order of the warps.
inline void expect_same_in_any_warp_order(const SequenceOperation& op, const SequenceCase& c) {
  std::vector<Tensor> first;
  for_each_warp_order([&] {
    const std::vector<Tensor> again = results_and_gradients(op, c, Dtype::f32, kCuda);
    if (first.empty()) first = again;
    for (size_t i = 0; i < first.size(); ++i) expect_equal(again[i], first[i]);
  });
}

inline std::vector<Tensor> inputs_on_cuda(const SequenceCase& c) {
  std::vector<Tensor> there;
  for (const Tensor& x : c.inputs) there.push_back(x.defined() ? on_cuda(converted(x, Dtype::f32)) : x);
  return there;
}

inline void expect_cuda_strides_change_nothing(const SequenceOperation& op, const SequenceCase& c) {
  const std::vector<Tensor> there = inputs_on_cuda(c);
  const std::vector<Tensor> expected = op.run(there, {}, {});
  for (size_t i = 0; i < there.size(); ++i)
    for (const Tensor& x : strided_variants(converted(c.inputs[i], Dtype::f32))) {
      std::vector<Tensor> variant = there;
      variant[i] = on_cuda_strided(x);
      const std::vector<Tensor> actual = op.run(variant, {}, {});
      for (size_t o = 0; o < expected.size(); ++o) expect_equal(on_host(actual[o]), on_host(expected[o]));
    }
}

// The host does not wait to look at lengths on the GPU; the kernels take the nearest that is allowed.
inline void expect_lengths_clamped(const SequenceOperation& op, const SequenceCase& c) {
  const std::vector<Tensor> there = inputs_on_cuda(c);
  const auto T = static_cast<int32_t>(c.inputs[0].size(1));
  const auto with = [&](std::vector<int32_t> lengths) {
    return on_host(op.run(there, on_cuda(from_values(lengths, {2})), {})[0]);
  };
  expect_equal(with({-3, T + 94}), with({0, T}));
}

}  // namespace vigor::testing
