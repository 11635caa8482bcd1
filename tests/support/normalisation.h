#pragma once
// What every normalisation over the last dimension must pass, y = f(x [..,C], parameters [C] ...): the shared part of
// the tests in kernels/layer_norm and kernels/rms_norm, for CPU and CUDA.
#include "kernels/elementwise/elementwise.h"
#include "tests/support/cuda_testing.h"

namespace vigor::testing {

struct Normalisation {
  Operation run;
  Operation composed;  // the same from basic operations
  int parameters;      // a weight, perhaps a bias

  std::vector<Tensor> inputs(const Shape& shape) const {
    const Shape parameter{shape.back()};
    std::vector<Tensor> all = {random(shape, Dtype::f64, 1, -2, 3), random(parameter, Dtype::f64, 2, 0.5, 1.5)};
    if (parameters > 1) all.push_back(random(parameter, Dtype::f64, 3));
    return all;
  }
};

inline void expect_normalisation_gradients(const Normalisation& f) {
  for (const Shape& shape : {Shape{3}, Shape{1, 17}, Shape{3, 5, 7}, Shape{40, 4}})
    expect_gradients(f.run, f.inputs(shape));
}

inline void expect_agreement_with_composed_form(const Normalisation& f) {
  for (const Shape& shape :
       {Shape{1}, Shape{3}, Shape{1, 17}, Shape{3, 5, 17}, Shape{7, 33}, Shape{2, 64}, Shape{100, 48}}) {
    const std::vector<Tensor> inputs = f.inputs(shape);
    const Tensor dy = random(shape, Dtype::f64, 4);
    const Outcome fused = outcome_of(f.run, inputs, dy), plain = outcome_of(f.composed, inputs, dy);
    expect_close(fused.y, plain.y, 1e-12, 1e-12);
    for (size_t i = 0; i < inputs.size(); ++i) expect_close(fused.gradients[i], plain.gradients[i], 1e-11, 1e-11);
  }
}

// Every instruction set of a CPU, or a GPU, against f64, in f32, bf16, and bf16 beside f32 parameters.
inline void expect_agreement_with_f64(const Normalisation& f, const std::vector<Shape>& shapes, Device device = kCpu) {
  const auto expect = device.is_cpu() ? expect_close_to_f64 : expect_cuda_close_to_f64;
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(to_string(shape));
    const std::vector<Tensor> inputs = f.inputs(shape);
    expect(f.run, inputs, {Dtype::f32}, 1e-5, 1e-5, __FILE__, __LINE__);
    expect(f.run, inputs, {Dtype::bf16, Dtype::f32}, 1e-2, 1e-2, __FILE__, __LINE__);
    expect(f.run, inputs, {Dtype::bf16}, 1e-2, 1e-2, __FILE__, __LINE__);
  }
}

inline void expect_any_strides(const Normalisation& f, Device device = kCpu) {
  std::vector<Tensor> inputs;
  for (const Tensor& input : f.inputs({3, 5, 17})) inputs.push_back(converted(input, Dtype::f32));
  const Tensor expected = f.run(inputs);
  for (const Tensor& strided : strided_variants(inputs[0])) {
    std::vector<Tensor> in = {strided};
    for (size_t i = 1; i < inputs.size(); ++i) in.push_back(with_gaps(inputs[i]));
    if (device.is_cpu()) expect_equal(f.run(in), expected);
    else expect_cuda_close_to_f64(f.run, in, {Dtype::f32}, 1e-5, 1e-5);
  }
}

// Old numbers in a gradient buffer count as zero, then gradients add up; and x alone may want a gradient.
inline void expect_gradients_where_wanted(const Normalisation& f, Device device = kCpu) {
  std::vector<Tensor> inputs;
  for (const Tensor& input : f.inputs({70, 24})) inputs.push_back(to_device(converted(input, Dtype::f32), device));
  const Tensor dy = to_device(random({70, 24}, Dtype::f32, 5), device);
  const Outcome once = outcome_of(f.run, inputs, dy);
  std::vector<Tensor> leaves = {inputs[0]};
  for (size_t i = 1; i < inputs.size(); ++i) {
    leaves.push_back(set_requires_grad(detach(inputs[i])));
    set_grad_buffer(leaves[i], full({24}, 7, Dtype::f32, device));
  }
  for (int step = 0; step < 2; ++step) {
    const Tensor y = f.run(leaves);
    backward(std::span(&y, 1), std::span(&dy, 1));
  }
  for (size_t i = 1; i < inputs.size(); ++i)
    expect_close(on_host(grad(leaves[i])), on_host(once.gradients[i]) * 2.0, 1e-6, 1e-6);
  leaves.assign(inputs.begin(), inputs.end());
  leaves[0] = set_requires_grad(detach(inputs[0]));
  const Tensor y = f.run(leaves);
  backward(std::span(&y, 1), std::span(&dy, 1));
  expect_equal(on_host(grad(leaves[0])), on_host(once.gradients[0]));
}

inline void expect_no_rows_to_work(const Normalisation& f, Device device = kCpu) {
  std::vector<Tensor> leaves = {set_requires_grad(zeros({0, 8}, Dtype::f32, device))};
  for (int i = 0; i < f.parameters; ++i) leaves.push_back(set_requires_grad(full({8}, 1, Dtype::f32, device)));
  const Tensor y = f.run(leaves), dy = zeros({0, 8}, Dtype::f32, device);
  backward(std::span(&y, 1), std::span(&dy, 1));
  for (size_t i = 1; i < leaves.size(); ++i) expect_equal(on_host(grad(leaves[i])), zeros({8}));
}

}  // namespace vigor::testing
