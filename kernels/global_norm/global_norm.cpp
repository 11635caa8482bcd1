#include "kernels/global_norm/global_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/global_norm/global_norm_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {

void global_norm(std::span<const Tensor> gradients, double max_norm, StepState& state) {
  double total = 0;
  for (const Tensor& g : gradients) {
    if ((g.dtype() != Dtype::f32 && g.dtype() != Dtype::f64) || !g.is_contiguous())
      fail("global_norm: gradients must be contiguous and f32 or f64; got {}", describe(g));
    OpScope scope("global_norm", {&g}, 2.0 * static_cast<double>(g.numel()), static_cast<double>(g.nbytes()));
    const Tensor partial = empty({square_sum_blocks(g.numel())}, Dtype::f64);
    switch (g.device().kind) {
      case DeviceKind::cpu:
        total += square_sum_cpu(g, partial);
        break;
      case DeviceKind::cuda:
        unsupported_device("global_norm", g.device());
    }
  }
  const double norm = std::sqrt(total);
  state.grad_norm = static_cast<float>(norm);
  state.clip_factor = max_norm > 0 ? static_cast<float>(std::min(1.0, max_norm / (norm + 1e-6))) : 1.0f;
}

void global_norm(const Tensor& gradient, double max_norm, StepState& state) {
  global_norm(std::span(&gradient, 1), max_norm, state);
}

}  // namespace vigor
