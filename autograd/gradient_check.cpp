#include "autograd/gradient_check.h"

#include <algorithm>
#include <cmath>

#include "autograd/engine.h"
#include "autograd/variable.h"
#include "tensor/check.h"

namespace vigor {
namespace {

double weighted_sum(std::span<const Tensor> outputs, std::span<const Tensor> weights) {
  double total = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!weights[i].defined()) continue;
    const std::vector<double> y = outputs[i].to_vector<double>();
    const double* w = weights[i].data<double>();
    for (size_t j = 0; j < y.size(); ++j) total += y[j] * w[j];
  }
  return total;
}

}  // namespace

GradientCheckReport gradient_check(const TensorFunction& f, std::span<const Tensor> inputs,
                                   const GradientCheckOptions& options) {
  std::vector<Tensor> leaves;
  bool any = false;
  for (const Tensor& input : inputs) {
    leaves.push_back(input.defined() ? clone(input) : Tensor());
    if (!input.defined() || input.dtype() != Dtype::f64) continue;
    set_requires_grad(leaves.back());
    any = true;
  }
  check(any, "gradient_check: at least one input must be f64");

  const std::vector<Tensor> outputs = f(leaves);
  std::vector<Tensor> weights;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const bool differentiable = outputs[i].defined() && outputs[i].dtype() == Dtype::f64;
    const RandomKey key{options.seed, RandomStream::init, static_cast<uint32_t>(i), 0};
    weights.push_back(differentiable ? uniform(outputs[i].shape(), -1.0, 1.0, key, Dtype::f64) : Tensor());
  }
  backward(outputs, weights);

  GradientCheckReport report;
  report.worst_error = -1;
  const NoGrad no_grad;
  for (size_t n = 0; n < leaves.size(); ++n) {
    const Tensor& leaf = leaves[n];
    if (!leaf.defined() || leaf.dtype() != Dtype::f64) continue;
    const Tensor analytic_grad = grad(leaf);
    const std::vector<double> analytic = analytic_grad.defined()
                                             ? analytic_grad.to_vector<double>()
                                             : std::vector<double>(static_cast<size_t>(leaf.numel()), 0.0);
    double* values = leaf.data<double>();
    for (int64_t i = 0; i < leaf.numel(); ++i) {
      const double before = values[i];
      const double h = options.step * std::max(1.0, std::fabs(before));
      values[i] = before + h;
      const double above = weighted_sum(f(leaves), weights);
      values[i] = before - h;
      const double below = weighted_sum(f(leaves), weights);
      values[i] = before;
      const double numeric = (above - below) / (2 * h);
      const double found = analytic[static_cast<size_t>(i)];
      const double difference = std::fabs(found - numeric);
      // Written so that a NaN on either side counts as the worst possible error.
      const double allowed = options.atol + options.rtol * std::fabs(numeric);
      const double error = difference <= allowed || difference > allowed ? difference / allowed : INFINITY;
      if (error <= report.worst_error) continue;
      report.worst_error = error;
      report.message = fmt::format(
          "input {} {} element {}: analytic {:.9g}, numeric {:.9g}, absolute {:.3g}, relative {:.3g}", n,
          to_string(leaf.shape()), i, found, numeric, difference, difference / std::max(std::fabs(numeric), 1e-300));
    }
  }
  report.ok = report.worst_error <= 1.0;
  return report;
}

}  // namespace vigor
