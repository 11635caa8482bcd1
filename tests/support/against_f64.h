#pragma once
// The check of every fast kernel: on every instruction set of this CPU, f32 and bf16 results and gradients must agree
// with the f64 definition on the same values. Also reads the fixtures of tests/fixtures/ops.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "tensor/safetensors.h"
#include "tensor/simd.h"
#include "tests/support/testing.h"

namespace vigor::testing {

using Operation = std::function<Tensor(std::span<const Tensor>)>;

// y = f(inputs), and the gradient of each floating input when dy is that of y.
struct Outcome {
  Tensor y;
  std::vector<Tensor> gradients;  // undefined for inputs that are not floating
};

inline Outcome outcome_of(const Operation& f, const std::vector<Tensor>& inputs, const Tensor& dy) {
  Outcome result;
  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) {
    leaves.push_back(input.defined() ? detach(input) : Tensor());
    if (input.defined() && is_floating(input.dtype())) set_requires_grad(leaves.back());
  }
  result.y = f(leaves);
  backward(std::span(&result.y, 1), std::span(&dy, 1));
  for (const Tensor& leaf : leaves) result.gradients.push_back(leaf.defined() ? grad(leaf) : Tensor());
  return result;
}

template <class F>
void for_each_isa(F&& f) {
  for (const Isa isa : {Isa::portable, Isa::neon, Isa::avx2, Isa::avx512}) {
    if (!is_supported(isa)) continue;
    SCOPED_TRACE(name_of(isa));
    const IsaScope scope(isa);
    f();
  }
}

// Runs f with floating input i in dtypes[i] (the last one repeats) and in f64 on the same rounded values.
inline void expect_close_to_f64(const Operation& f, const std::vector<Tensor>& inputs, const std::vector<Dtype>& dtypes,
                                double atol, double rtol, const char* file = __builtin_FILE(),
                                int line = __builtin_LINE()) {
  std::vector<Tensor> rounded, exact;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool converts = inputs[i].defined() && is_floating(inputs[i].dtype());
    rounded.push_back(converts ? converted(inputs[i], dtypes[std::min(i, dtypes.size() - 1)]) : inputs[i]);
    exact.push_back(converts ? converted(rounded[i], Dtype::f64) : inputs[i]);
  }
  const Tensor y = f(rounded);
  const Tensor dy = random(y.shape(), y.dtype(), 99);
  const Outcome expected = outcome_of(f, exact, converted(dy, Dtype::f64));
  for_each_isa([&] {
    const Outcome actual = outcome_of(f, rounded, dy);
    expect_close(actual.y, expected.y, atol, rtol, file, line);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!actual.gradients[i].defined()) continue;
      SCOPED_TRACE("gradient of input " + std::to_string(i));
      EXPECT_EQ(actual.gradients[i].dtype(), rounded[i].dtype());
      expect_close(actual.gradients[i], expected.gradients[i], atol, rtol, file, line);
    }
  });
}

// A tensor of tests/fixtures/ops/<operation>.safetensors.
inline Tensor fixture(const std::string& operation, const std::string& name) {
  const std::string path = std::string(VIGOR_SOURCE_DIR) + "/tests/fixtures/ops/" + operation + ".safetensors";
  return SafetensorsFile::open(path).tensor(name);
}

// f on the fixture's inputs, named in order, gives its `y` and, from its `dy`, its `d<name>` for every input.
inline void expect_fixture(const Operation& f, const std::string& operation, const std::vector<std::string>& names,
                           double atol, double rtol, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  std::vector<Tensor> inputs;
  for (const std::string& name : names) inputs.push_back(clone(fixture(operation, name)));
  for_each_isa([&] {
    const Outcome actual = outcome_of(f, inputs, clone(fixture(operation, "dy")));
    expect_close(actual.y, fixture(operation, "y"), atol, rtol, file, line);
    for (size_t i = 0; i < names.size(); ++i) {
      SCOPED_TRACE("d" + names[i]);
      expect_close(actual.gradients[i], fixture(operation, "d" + names[i]), atol, rtol, file, line);
    }
  });
}

}  // namespace vigor::testing
