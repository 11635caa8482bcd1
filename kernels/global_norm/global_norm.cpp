#include "kernels/global_norm/global_norm.h"

#include "kernels/arguments.h"
#include "kernels/global_norm/global_norm_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {

void global_norm(std::span<const Tensor> grads, double max_norm, StepState* state) {
  check(max_norm >= 0, "global_norm: max_norm must be at least 0 (0: no clipping); got {}", max_norm);
  check(!grads.empty(), "global_norm: at least one gradient must be given");
  check(state != nullptr, "global_norm: a StepState must be given");
  int64_t blocks = 0;
  double nbytes = 0, flops = 0;
  for (size_t i = 0; i < grads.size(); ++i) {
    const Tensor& g = grads[i];
    if (!g.defined() || !is_computed(g.dtype()) || !g.is_contiguous() || g.device() != grads[0].device())
      fail("global_norm: gradients must be contiguous, in f32, f64 or bf16, on one device; gradient {} is {}", i,
           g.defined() ? describe(g) : "undefined");
    blocks += norm_blocks(g.numel());
    nbytes += static_cast<double>(g.nbytes());
    flops += 2.0 * static_cast<double>(g.numel());
  }
  OpScope scope("global_norm", {&grads[0]}, flops, nbytes);
  const Device device = grads[0].device();
  const Tensor sums = empty({blocks}, Dtype::f64, device);
  int64_t first = 0;
  for (const Tensor& g : grads) {
    const int64_t n = norm_blocks(g.numel());
    const TensorView part = sliced(sums, 0, first, first + n, 1, "global_norm");
    switch (device.kind) {
      case DeviceKind::cpu:
        block_squares_cpu(part, g);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) block_squares_cuda(part, g);
        else unsupported_device("global_norm", device);
        break;
    }
    first += n;
  }
  switch (device.kind) {
    case DeviceKind::cpu:
      write_norm_cpu(state, sums, max_norm);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) write_norm_cuda(state, sums, max_norm);
      else unsupported_device("global_norm", device);
      break;
  }
  scope.done({});
}

}  // namespace vigor
