#include "kernels/cross_entropy/cross_entropy_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// Three passes over a row that stays in the L2 cache: maximum, sum of exponentials, gradient. The last computes the
// exponentials again: that is as fast as storing and loading them, and a bf16 row could not hold them.
template <class X>
float row_loss(const X* x, int64_t n, int64_t target, float weight, X* dx) {
  const float lowest = -__builtin_inff();
  vfloat largest[4] = {broadcast(lowest), broadcast(lowest), broadcast(lowest), broadcast(lowest)};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int k = 0; k < 4; ++k) largest[k] = max(largest[k], load(x + i + k * kLanes));
  for_each_vector(
      n - i, [&](int64_t j, auto lanes) { largest[0] = max(largest[0], keep(load(x + i + j, lanes), lanes, lowest)); });
  const float maximum = horizontal_max(max(max(largest[0], largest[1]), max(largest[2], largest[3])));

  vfloat sums[2] = {};
  for (i = 0; i + 2 * kLanes <= n; i += 2 * kLanes)
    for (int k = 0; k < 2; ++k) sums[k] += exp(load(x + i + k * kLanes) - maximum);
  for_each_vector(n - i,
                  [&](int64_t j, auto lanes) { sums[0] += keep(exp(load(x + i + j, lanes) - maximum), lanes, 0.0f); });
  const float sum = horizontal_sum(sums[0] + sums[1]);
  const float at_target = static_cast<float>(x[target]);  // before dx, which may be x, is written

  if (dx != nullptr) {
    const float scale = weight / sum;
    for_each_vector(n, [&](int64_t j, auto lanes) {
      const vfloat softmax = exp(load(x + j, lanes) - maximum) * scale;
      store(dx + j, softmax, lanes);
    });
    dx[target] = X(exp(broadcast(at_target - maximum))[0] * scale - weight);
  }
  return maximum - at_target + __builtin_logf(sum);
}

}  // namespace

float cross_entropy_row(const float* x, int64_t n, int64_t target, float weight, float* dx) {
  return row_loss(x, n, target, weight, dx);
}
float cross_entropy_row(const bf16* x, int64_t n, int64_t target, float weight, bf16* dx) {
  return row_loss(x, n, target, weight, dx);
}

}  // namespace vigor::VIGOR_ISA
