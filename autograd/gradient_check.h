#pragma once
// Compares the gradients of a function with central differences, in double precision: the test that every operation of
// Vigor passes, and the one to write first for a new one.
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace vigor {

struct GradientCheckOptions {
  double step = 1e-6;  // h in (f(x+h) - f(x-h)) / 2h, scaled by max(1, |x|)
  double atol = 1e-7;  // passes when |analytic - numeric| <= atol + rtol * |numeric|
  double rtol = 1e-5;
  uint64_t seed = 1;  // of the random weights that make one number out of all outputs
};

struct GradientCheckReport {
  bool ok = true;
  double worst_error = 0;  // largest |analytic - numeric| / (atol + rtol * |numeric|); at most 1 when ok
  std::string message;     // input, index, both values and both errors of the worst element
};

using TensorFunction = std::function<std::vector<Tensor>(std::span<const Tensor> inputs)>;

// Checks d f / d input for every f64 input (others, such as ids, are passed through), with every floating output
// given a random weight. Throws std::invalid_argument when no input is f64.
GradientCheckReport gradient_check(const TensorFunction& f, std::span<const Tensor> inputs,
                                   const GradientCheckOptions& options = {});

}  // namespace vigor
