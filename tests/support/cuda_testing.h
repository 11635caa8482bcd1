#pragma once
// The check of every CUDA kernel: results and gradients on kCuda must agree with the CPU's f64 definition on the same
// (rounded) values, under several orders in which the emulated device lets warps run. A GPU runs the same tests; there
// the orders mean nothing.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/against_f64.h"

namespace vigor::testing {

inline Tensor on_cuda(const Tensor& x) { return to_device(x, kCuda); }
inline Tensor on_host(const Tensor& x) { return to_device(x, kCpu); }

// The same elements and strides on the GPU: strided inputs stay strided there.
inline Tensor on_cuda_strided(const Tensor& x) {
  if (!x.defined() || x.is_contiguous()) return on_cuda(x);
  const auto elements = static_cast<int64_t>(x.storage()->nbytes() / size_of(x.dtype()));
  const Tensor memory(x.storage(), 0, {elements}, {1}, x.dtype());
  const Tensor moved = on_cuda(memory);
  return Tensor(moved.storage(), x.offset(), x.shape(), x.strides(), x.dtype());
}

// Runs f() for the fixed warp order and two random ones.
template <class F>
void for_each_warp_order(F&& f) {
  for (const char* order : {"fixed", "1", "2"}) {
    SCOPED_TRACE(std::string("warp order ") + order);
    setenv("VIGOR_EMULATOR_WARP_ORDER", order, 1);
    f();
  }
  unsetenv("VIGOR_EMULATOR_WARP_ORDER");
}

// Runs f with floating input i in dtypes[i] (the last one repeats) on the GPU, and in f64 on the CPU.
inline void expect_cuda_close_to_f64(const Operation& f, const std::vector<Tensor>& inputs,
                                     const std::vector<Dtype>& dtypes, double atol, double rtol,
                                     const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  std::vector<Tensor> given, exact;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool converts = inputs[i].defined() && is_floating(inputs[i].dtype());
    const Dtype dtype = converts ? dtypes[std::min(i, dtypes.size() - 1)] : Dtype::f32;
    const Tensor rounded = converts && inputs[i].dtype() != dtype ? converted(inputs[i], dtype) : inputs[i];
    given.push_back(on_cuda_strided(rounded));
    exact.push_back(converts ? converted(rounded, Dtype::f64) : inputs[i]);
  }
  const Tensor y64 = f(exact);
  const Tensor dy = random(y64.shape(), f(given).dtype(), 99);
  const Outcome expected = outcome_of(f, exact, converted(dy, Dtype::f64));
  for_each_warp_order([&] {
    const Outcome actual = outcome_of(f, given, on_cuda(dy));
    expect_close(on_host(actual.y), expected.y, atol, rtol, file, line);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!actual.gradients[i].defined()) continue;
      SCOPED_TRACE("gradient of input " + std::to_string(i));
      EXPECT_EQ(actual.gradients[i].dtype(), given[i].dtype());
      expect_close(on_host(actual.gradients[i]), expected.gradients[i], atol, rtol, file, line);
    }
  });
}

}  // namespace vigor::testing
