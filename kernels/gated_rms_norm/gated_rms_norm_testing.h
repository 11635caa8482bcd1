#pragma once
// What the CPU's and the GPU's gated_rms_norm must both pass.
#include "kernels/elementwise/elementwise.h"
#include "kernels/gated_rms_norm/gated_rms_norm.h"
#include "tests/support/cuda_testing.h"

namespace vigor::testing {

struct GatedNormForm {
  int64_t groups;
  bool norm_before_gate;
  double gate_multiplier = 1;
};
inline constexpr GatedNormForm kGatedNormForms[] = {{1, true},  {1, false},      {3, true},
                                                    {3, false}, {1, true, -0.6}, {3, false, 1.7}};

inline Operation gated_norm(int64_t groups, bool norm_before_gate, double gate_multiplier = 1) {
  return [=](std::span<const Tensor> in) {
    return gated_rms_norm(in[0], in[1], in[2], groups, norm_before_gate, 1e-5, gate_multiplier);
  };
}

inline std::vector<Tensor> gated_norm_inputs(const Shape& shape) {
  return {random(shape, Dtype::f64, 1, -2, 3), random(shape, Dtype::f64, 2, -4, 4),
          random({shape.back()}, Dtype::f64, 3, 0.5, 1.5)};
}

// In f32, bf16, and bf16 beside an f32 weight.
inline void expect_gated_norm_close_to_f64(const std::vector<Shape>& shapes, Device device) {
  const auto expect = device.is_cpu() ? expect_close_to_f64 : expect_cuda_close_to_f64;
  for (const auto& [groups, norm_before_gate, multiplier] : kGatedNormForms)
    for (const Shape& shape : shapes) {
      SCOPED_TRACE(fmt::format("{}, {} groups, {}, {}", to_string(shape), groups, norm_before_gate, multiplier));
      const Operation f = gated_norm(groups, norm_before_gate, multiplier);
      const std::vector<Tensor> inputs = gated_norm_inputs(shape);
      expect(f, inputs, {Dtype::f32}, 1e-5, 1e-5, __FILE__, __LINE__);
      expect(f, inputs, {Dtype::bf16}, 1e-2, 1e-2, __FILE__, __LINE__);
      expect(f, inputs, {Dtype::bf16, Dtype::bf16, Dtype::f32}, 1e-2, 1e-2, __FILE__, __LINE__);
    }
}

// Each input alone may want its gradient; that of the weight is added to a buffer whose old numbers count as zero.
inline void expect_gated_norm_gradients_where_wanted(Device device) {
  std::vector<Tensor> inputs;
  for (const Tensor& input : gated_norm_inputs({70, 24}))
    inputs.push_back(to_device(converted(input, Dtype::f32), device));
  const Tensor dy = to_device(random({70, 24}, Dtype::f32, 5), device);
  const Operation f = gated_norm(3, false);
  const Outcome all = outcome_of(f, inputs, dy);
  for (size_t wanted = 0; wanted < 3; ++wanted) {
    std::vector<Tensor> leaves = inputs;
    leaves[wanted] = set_requires_grad(detach(inputs[wanted]));
    if (wanted == 2) set_grad_buffer(leaves[2], full({24}, 7, Dtype::f32, device));
    const Tensor y = f(leaves);
    backward(std::span(&y, 1), std::span(&dy, 1));
    expect_equal(on_host(grad(leaves[wanted])), on_host(all.gradients[wanted]));
    if (wanted != 2) continue;
    const Tensor again = f(leaves);
    backward(std::span(&again, 1), std::span(&dy, 1));
    expect_close(on_host(grad(leaves[2])), on_host(all.gradients[2]) * 2.0, 1e-6, 1e-6);
  }
}

inline void expect_no_gated_rows_to_work(Device device) {
  const Tensor x = set_requires_grad(zeros({0, 8}, Dtype::f32, device));
  const Tensor weight = set_requires_grad(full({8}, 1, Dtype::f32, device)), dy = zeros({0, 8}, Dtype::f32, device);
  const Tensor y = gated_rms_norm(x, x, weight, 2, true);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_equal(on_host(grad(weight)), zeros({8}));
}

}  // namespace vigor::testing
