#pragma once
// The precision that the specification asks of rope, for the CPU and the GPU.
#include <numbers>

#include "kernels/rope/rope.h"
#include "tests/support/testing.h"

namespace vigor::testing {

// Sine and cosine within 1e-6 of the true ones at sampled positions up to 262,143: x holds 1 in each first half and 0
// in each second, so that y is (cosines, sines).
inline void expect_precise_angles(Device device) {
  std::vector<int32_t> positions = {0, 1, 2, 255, 256, 65535, 65536, 131071, 131072};
  for (int32_t i = 0; i < 64; ++i) positions.push_back(262143 - i);
  const Tensor anywhere = random_ids({183}, 262144);
  for (int32_t i = 0; i < 183; ++i) positions.push_back(anywhere.data<int32_t>()[i]);
  const auto B = static_cast<int64_t>(positions.size());
  for (const int64_t P : {64, 128})
    for (const double theta : {1e4, 1e11}) {
      SCOPED_TRACE(fmt::format("P = {}, theta = {}", P, theta));
      const Tensor x = zeros({B, 1, 1, P}), expected = empty({B, 1, 1, P}, Dtype::f64);
      fill(sliced(x, 3, 0, P / 2, 1, "expect_precise_angles"), 1);
      for (int64_t i = 0; i < B * P; ++i) {
        const int64_t b = i / P, j = i % (P / 2);
        const double angle =
            positions[static_cast<size_t>(b)] * std::pow(theta, -2.0 * static_cast<double>(j) / static_cast<double>(P));
        expected.data<double>()[i] = i % P < P / 2 ? std::cos(angle) : std::sin(angle);
      }
      const Tensor offsets = to_device(from_values(positions, {B}), device);
      const Tensor y = rope(to_device(x, device), {.theta = theta, .offsets = offsets});
      expect_close(to_device(y, kCpu), expected, 1e-6);
    }
}

}  // namespace vigor::testing
