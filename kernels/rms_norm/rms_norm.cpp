#include "kernels/rms_norm/rms_norm.h"

#include "kernels/block_sums.h"
#include "kernels/norm_arguments.h"
#include "kernels/rms_norm/rms_norm_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct RmsNormNode : Node {
  RmsNormNode() : Node("rms_norm") {}
  SavedTensor x{this, "x"}, weight{this, "weight"}, rstd{this, "rstd"};

  void backward(Backward& b) override {
    const Tensor dy = contiguous_values(b.grad());
    OpScope scope("rms_norm_backward", {&dy, &x.get(), &weight.get(), &rstd.get()});
    const int64_t columns = dy.size(-1);
    const Tensor dx = b.needs(0) ? empty_like(dy) : Tensor();
    const Backward::Target dweight = wanted_target(b, 1, {columns}, weight.get().dtype(), dy.device());
    const Tensor partial =
        b.needs(1) ? empty({sum_blocks(rstd.get().numel(), dy.device()), 1, columns}, rstd.get().dtype(), dy.device())
                   : Tensor();
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        rms_norm_backward_cpu(view_or_none(dx), gradient_view(dweight), view_or_none(partial), dy, x.get(),
                              weight.get(), rstd.get());
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild)
          rms_norm_backward_cuda(view_or_none(dx), gradient_view(dweight), view_or_none(partial), dy, x.get(),
                                 weight.get(), rstd.get());
        else unsupported_device("rms_norm_backward", dy.device());
        break;
    }
    if (b.needs(0)) b.set(0, dx);
    set_gradient(b, 1, dweight);
    scope.done({&dx, &dweight.tensor});
  }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  check(x.defined() && weight.defined(), "rms_norm: x and weight must be tensors; got an undefined one");
  check_normalised("rms_norm", x);
  check_norm_parameter("rms_norm", "weight", weight, x);
  OpScope scope("rms_norm", {&x, &weight});
  const Tensor in = contiguous_values(x), w = contiguous_values(weight);
  const Tensor y = empty_like(x);
  const Tensor rstd =
      empty({x.numel() / x.size(-1)}, x.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32, x.device());  // [rows]
  switch (x.device().kind) {
    case DeviceKind::cpu:
      rms_norm_forward_cpu(y, rstd, in, w, eps);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) rms_norm_forward_cuda(y, rstd, in, w, eps);
      else unsupported_device("rms_norm", x.device());
      break;
  }
  if (auto node = record<RmsNormNode>({&x, &weight})) {
    node->x.save(in);
    node->weight.save(w);
    node->rstd.save(rstd);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
