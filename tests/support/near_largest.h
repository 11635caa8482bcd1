#pragma once
// Comparison of tensors whose elements are sums: the rounding of each is that of its largest terms, whatever it adds up
// to, so errors are measured against the largest element.
#include "tests/support/testing.h"

namespace vigor::testing {

// The largest finite magnitude in x, which may be on any device; 0 when there is none.
inline double largest(const Tensor& x) {
  double result = 0;
  for (const double value : to_device(x, kCpu).to_vector<double>())
    if (std::isfinite(value)) result = std::max(result, std::fabs(value));
  return result;
}

// Within `tolerance` times the largest expected element. Equal infinities agree. Both may be on any device.
inline void expect_near_largest(const Tensor& actual, const Tensor& expected, double tolerance,
                                const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const auto on_host = [](const Tensor& x) { return x.defined() ? to_device(x, kCpu) : x; };
  expect_close(on_host(actual), on_host(expected), tolerance * largest(expected), 0, file, line);
}

}  // namespace vigor::testing
