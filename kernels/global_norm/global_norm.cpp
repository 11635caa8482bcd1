#include "kernels/global_norm/global_norm.h"

#include "kernels/arguments.h"
#include "kernels/global_norm/global_norm_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {

void global_norm(std::span<const Tensor> grads, double max_norm, StepState& state) {
  check(max_norm >= 0, "global_norm: max_norm must be at least 0 (0: no clipping); got {}", max_norm);
  check(!grads.empty(), "global_norm: at least one gradient must be given");
  int64_t blocks = 0;
  double nbytes = 0;
  for (size_t i = 0; i < grads.size(); ++i) {
    const Tensor& g = grads[i];
    if (!g.defined() || !is_computed(g.dtype()) || !g.is_contiguous() || g.device() != grads[0].device())
      fail("global_norm: gradients must be contiguous, in f32, f64 or bf16, on one device; gradient {} is {}", i,
           g.defined() ? describe(g) : "undefined");
    blocks += norm_blocks(g.numel());
    nbytes += static_cast<double>(g.nbytes());
  }
  OpScope scope("global_norm", {&grads[0]}, 0, nbytes);
  const Device device = grads[0].device();
  const Tensor sums = empty({blocks}, Dtype::f64, device);
  switch (device.kind) {
    case DeviceKind::cpu: {
      int64_t first = 0;
      for (const Tensor& g : grads) {
        const int64_t n = norm_blocks(g.numel());
        block_squares_cpu(sliced(sums, 0, first, first + n, 1, "global_norm"), g);
        first += n;
      }
      write_norm_cpu(state, sums, max_norm);
      break;
    }
    case DeviceKind::cuda:
      unsupported_device("global_norm", device);
  }
  scope.done({});
}

}  // namespace vigor
