#include "bench/kernels/check_kernel.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

Tensor converted(const Tensor& x, Dtype dtype) {
  const Tensor y = empty(x.shape(), dtype);
  copy(y, x);
  return y;
}

// "" or how far `actual` is from `expected`.
std::string difference(const std::string& what, const Tensor& actual, const Tensor& expected, double tolerance) {
  const std::vector<double> a = actual.to_vector<double>(), e = expected.to_vector<double>();
  if (!(actual.shape() == expected.shape()))
    return fmt::format("{} is {}; the definition gives {}", what, describe(actual), describe(expected));
  double squares = 0;
  for (const double value : e) squares += value * value;
  const double rms = std::sqrt(squares / static_cast<double>(std::max<size_t>(1, e.size())));
  for (size_t i = 0; i < a.size(); ++i)
    if (!(std::fabs(a[i] - e[i]) <= tolerance * (std::fabs(e[i]) + rms)))  // written so that a NaN fails
      return fmt::format(
          "{} is wrong: element {} is {:.6g}; the definition in f64 gives {:.6g} (root mean square {:.3g})", what, i,
          a[i], e[i], rms);
  return {};
}

// y, or the gradients of the floating operands that have one.
std::vector<Tensor> results_of(const Operation& run, const Operands& operands, std::vector<Tensor> inputs, Pass pass,
                               const Tensor& dy) {
  if (pass == Pass::forward) {
    const NoGrad no_grad;
    return {run(inputs)};
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    if (operands.list()[i].role != Role::constant) set_requires_grad(inputs[i]);
  const Tensor y = run(inputs), dy_like_y = converted(dy, y.dtype());
  backward(std::span(&y, 1), std::span(&dy_like_y, 1));
  std::vector<Tensor> gradients;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (operands.list()[i].role != Role::constant) gradients.push_back(grad(inputs[i]));
  return gradients;
}

}  // namespace

std::vector<Tensor> values_of(const Operands& operands, Dtype dtype) {
  std::vector<Tensor> values;
  for (const Operands::Operand& operand : operands.list()) {
    const bool stays_f32 = operand.role == Role::full_weight && dtype != Dtype::f64;
    values.push_back(operand.role == Role::constant ? operand.values
                                                    : converted(operand.values, stays_f32 ? Dtype::f32 : dtype));
  }
  return values;
}

std::string check_kernel(const KernelCase& c, Dtype dtype, Pass pass) {
  const Operands operands = c.operands(c.checked);
  const std::vector<Tensor> rounded = values_of(operands, dtype);
  std::vector<Tensor> exact;
  for (size_t i = 0; i < rounded.size(); ++i)
    exact.push_back(operands.list()[i].role == Role::constant ? rounded[i] : converted(rounded[i], Dtype::f64));
  Tensor dy;
  if (pass == Pass::backward) {
    const NoGrad no_grad;
    const Tensor y = c.run(rounded);
    dy = uniform(y.shape(), -1, 1, {1, RandomStream::init, 99, 0}, y.dtype());
  }
  const std::vector<Tensor> expected = results_of(c.definition ? c.definition : c.run, operands, exact, pass, dy);
  const std::vector<Tensor> actual = results_of(c.run, operands, rounded, pass, dy);
  const double tolerance = dtype == Dtype::bf16 ? 5e-2 : 1e-3;
  for (size_t i = 0; i < actual.size(); ++i) {
    const std::string what = pass == Pass::forward ? "the result" : fmt::format("the gradient of operand {}", i);
    if (std::string text = difference(what, actual[i], expected[i], tolerance); !text.empty()) return text;
  }
  return {};
}

}  // namespace vigor
