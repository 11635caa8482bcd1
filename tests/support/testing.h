#pragma once
// Helpers of all tests: random and strided tensors, comparison with a useful message, gradient checks, error texts.
// They report the line of the test that called them.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "autograd/gradient_check.h"
#include "autograd/node.h"
#include "tensor/primitives.h"
#include "tensor/tensor.h"

namespace vigor::testing {

// ---- making tensors ----

// Uniform in [low, high). Different salts give different values.
inline Tensor random(const Shape& sizes, Dtype dtype = Dtype::f32, uint32_t salt = 0, double low = -1,
                     double high = 1) {
  return uniform(sizes, low, high, {20240601, RandomStream::init, salt, 0}, dtype);
}

// Integers in [0, bound), as i32, i64 or u8 (a mask has bound 2).
inline Tensor random_ids(const Shape& sizes, int64_t bound, Dtype dtype = Dtype::i32, uint32_t salt = 0) {
  const Tensor ids = empty(sizes, dtype);
  copy(ids, random(sizes, Dtype::f64, salt, 0, static_cast<double>(bound)));  // truncates
  return ids;
}

// A copy of `x` in another type, without history.
inline Tensor converted(const Tensor& x, Dtype dtype) {
  const Tensor y = empty(x.shape(), dtype);
  copy(y, x);
  return y;
}

// The same elements, not contiguous: with gaps between neighbours of the last dimension (a slice with a step).
inline Tensor with_gaps(const Tensor& x) {
  Shape wide = x.shape();
  if (wide.rank() > 0) wide[wide.rank() - 1] *= 2;
  const Tensor memory = full(wide, is_floating(x.dtype()) ? std::numeric_limits<double>::quiet_NaN() : 0, x.dtype());
  if (x.rank() == 0) return clone(x);
  const Tensor y = memory.with_view(sliced(memory, -1, 0, wide.back(), 2, "with_gaps"));
  copy(y, x);
  return y;
}

// The same elements, not contiguous: dimensions stored in reverse order (a transposed view).
inline Tensor transposed_storage(const Tensor& x) {
  Shape reversed;
  std::vector<int> dims;
  for (int dim = x.rank() - 1; dim >= 0; --dim) {
    reversed.push_back(x.shape()[dim]);
    dims.push_back(dim);
  }
  const Tensor memory = empty(reversed, x.dtype());
  const Tensor y = memory.with_view(permuted(memory, dims, "transposed_storage"));
  copy(y, x);
  return y;
}

// The same elements in the middle of larger rows (a slice of a fused projection): unit stride inside a row, and a gap
// between rows filled with NaN.
inline Tensor row_slice(const Tensor& x) {
  if (x.rank() == 0) return clone(x);
  Shape wide = x.shape();
  wide[wide.rank() - 1] += 5;
  const Tensor memory = full(wide, is_floating(x.dtype()) ? std::numeric_limits<double>::quiet_NaN() : 0, x.dtype());
  const Tensor y = memory.with_view(sliced(memory, -1, 2, wide.back() - 3, 1, "row_slice"));
  copy(y, x);
  return y;
}

inline std::vector<Tensor> strided_variants(const Tensor& x) {
  return {with_gaps(x), transposed_storage(x), row_slice(x)};
}

// ---- comparing ----

// Passes when the shapes agree and |actual - expected| <= atol + rtol * |expected| everywhere; equal infinities and two
// NaNs agree. Dtypes may differ. The failure shows the worst element with both values and errors.
inline void expect_close(const Tensor& actual, const Tensor& expected, double atol, double rtol = 0,
                         const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!actual.defined() || !expected.defined() || !(actual.shape() == expected.shape())) {
    ADD_FAILURE_AT(file, line) << "actual is " << describe(actual) << ", expected " << describe(expected);
    return;
  }
  const std::vector<double> a = actual.to_vector<double>();
  const std::vector<double> e = expected.to_vector<double>();
  double worst = 1;  // in units of what is allowed
  int64_t at = -1;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == e[i] || (std::isnan(a[i]) && std::isnan(e[i]))) continue;
    const double allowed = atol + rtol * std::fabs(e[i]);
    const double difference = std::fabs(a[i] - e[i]);
    const double error = std::isfinite(difference) ? (allowed > 0 ? difference / allowed : HUGE_VAL) : HUGE_VAL;
    if (error <= worst) continue;
    worst = error;
    at = static_cast<int64_t>(i);
  }
  if (at < 0) return;
  std::string index;
  int64_t rest = at;
  for (int dim = actual.rank() - 1; dim >= 0; --dim) {
    index = std::to_string(rest % actual.shape()[dim]) + (index.empty() ? "" : ",") + index;
    rest /= actual.shape()[dim];
  }
  const double got = a[static_cast<size_t>(at)];
  const double wanted = e[static_cast<size_t>(at)];
  ADD_FAILURE_AT(file, line) << fmt::format(
      "{}: worst element [{}]: {:.9g} instead of {:.9g}; absolute error {:.3g}, relative {:.3g}; allowed {:.3g} + "
      "{:.3g} "
      "relative",
      describe(actual), index, got, wanted, std::fabs(got - wanted), std::fabs(got - wanted) / std::fabs(wanted), atol,
      rtol);
}

// The same shape, dtype and bits (any two NaNs are equal).
inline void expect_equal(const Tensor& actual, const Tensor& expected, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
  if (actual.defined() && expected.defined() && actual.dtype() != expected.dtype())
    ADD_FAILURE_AT(file, line) << "actual is " << describe(actual) << ", expected " << describe(expected);
  expect_close(actual, expected, 0, 0, file, line);
}

inline void expect_values(const Tensor& actual, const std::vector<double>& expected, double atol = 0,
                          const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (actual.numel() != static_cast<int64_t>(expected.size())) {
    ADD_FAILURE_AT(file, line) << "actual is " << describe(actual) << ", expected " << expected.size() << " values";
    return;
  }
  expect_close(actual, from_values(expected, actual.shape()), atol, atol, file, line);
}

// ---- gradients ----

// Passes values through; hands a strided copy of the gradient on, as a transposed consumer would.
struct StridedGradientNode : Node {
  StridedGradientNode() : Node("strided_gradient") {}
  void backward(Backward& b) override { b.set(0, transposed_storage(b.grad())); }
};
inline Tensor with_strided_gradient(const Tensor& x) {
  const Tensor y = x.without_slot();
  if (auto node = record<StridedGradientNode>({&x})) node->attach({&y});
  return y;
}

// gradient_check of every f64 input, twice: the gradients of the results arrive contiguous, then strided.
inline void expect_gradients(const TensorFunction& f, const std::vector<Tensor>& inputs,
                             const GradientCheckOptions& options = {}, const char* file = __builtin_FILE(),
                             int line = __builtin_LINE()) {
  const GradientCheckReport plain = gradient_check(f, inputs, options);
  if (!plain.ok) ADD_FAILURE_AT(file, line) << plain.message;
  const TensorFunction strided = [&f](std::span<const Tensor> in) {
    std::vector<Tensor> results = f(in);
    for (Tensor& y : results)
      if (y.defined() && requires_grad(y)) y = with_strided_gradient(y);
    return results;
  };
  const GradientCheckReport second = gradient_check(strided, inputs, options);
  if (!second.ok) ADD_FAILURE_AT(file, line) << "with a strided output gradient: " << second.message;
}
// The same for a function with one result.
inline void expect_gradients(const std::function<Tensor(std::span<const Tensor>)>& f, const std::vector<Tensor>& inputs,
                             const GradientCheckOptions& options = {}, const char* file = __builtin_FILE(),
                             int line = __builtin_LINE()) {
  expect_gradients(TensorFunction([&f](std::span<const Tensor> in) { return std::vector<Tensor>{f(in)}; }), inputs,
                   options, file, line);
}

// ---- errors ----

// Passes when f() throws `Exception` and its text contains each of `parts`.
template <class Exception = std::invalid_argument, class F>
void expect_error(F&& f, std::initializer_list<const char*> parts, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  try {
    f();
  } catch (const Exception& error) {
    const std::string text = error.what();
    for (const char* part : parts)
      if (text.find(part) == std::string::npos)
        ADD_FAILURE_AT(file, line) << "the error should contain '" << part << "': " << text;
    return;
  } catch (const std::exception& error) {
    ADD_FAILURE_AT(file, line) << "another type of exception: " << error.what();
    return;
  }
  ADD_FAILURE_AT(file, line) << "no exception was thrown";
}

}  // namespace vigor::testing
