#include "kernels/layer_norm/layer_norm.h"

#include "autograd/node.h"
#include "kernels/block_sums.h"
#include "kernels/layer_norm/layer_norm_kernels.h"
#include "kernels/norm_arguments.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct LayerNormNode : Node {
  LayerNormNode() : Node("layer_norm") {}
  SavedTensor x{this, "x"}, weight{this, "weight"}, mean{this, "mean"}, rstd{this, "rstd"};

  void backward(Backward& b) override {
    const Tensor dy = contiguous_values(b.grad());
    OpScope scope("layer_norm_backward", {&dy, &x.get(), &weight.get(), &mean.get(), &rstd.get()});
    const Shape parameter{dy.size(-1)};
    const Tensor dx = b.needs(0) ? empty_like(dy) : Tensor();
    const Backward::Target dweight = wanted_target(b, 1, parameter, weight.get().dtype(), dy.device());
    const Backward::Target dbias = wanted_target(b, 2, parameter, weight.get().dtype(), dy.device());
    const Tensor partial =
        b.needs(1) || b.needs(2)
            ? empty({sum_blocks(mean.get().numel(), dy.device()), 2, dy.size(-1)}, mean.get().dtype(), dy.device())
            : Tensor();
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        layer_norm_backward_cpu(view_or_none(dx), gradient_view(dweight), gradient_view(dbias), view_or_none(partial),
                                dy, x.get(), weight.get(), mean.get(), rstd.get());
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild)
          layer_norm_backward_cuda(view_or_none(dx), gradient_view(dweight), gradient_view(dbias),
                                   view_or_none(partial), dy, x.get(), weight.get(), mean.get(), rstd.get());
        else unsupported_device("layer_norm_backward", dy.device());
        break;
    }
    if (b.needs(0)) b.set(0, dx);
    set_gradient(b, 1, dweight);
    set_gradient(b, 2, dbias);
    scope.done({&dx, &dweight.tensor, &dbias.tensor});
  }
};

void check_arguments(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x.defined() && weight.defined() && bias.defined(), "layer_norm: x, weight and bias must be tensors");
  check_normalised("layer_norm", x);
  check_norm_parameter("layer_norm", "weight", weight, x);
  check_norm_parameter("layer_norm", "bias", bias, x);
  if (weight.dtype() != bias.dtype())
    fail("layer_norm: weight and bias must have one dtype; got {} and {}", describe(weight), describe(bias));
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check_arguments(x, weight, bias);
  OpScope scope("layer_norm", {&x, &weight, &bias});
  const Tensor in = contiguous_values(x), w = contiguous_values(weight), b = contiguous_values(bias);
  const Dtype statistics = x.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32;
  const Tensor y = empty_like(x);
  const int64_t rows = x.numel() / x.size(-1);
  const Tensor mean = empty({rows}, statistics, x.device()), rstd = empty_like(mean);
  switch (x.device().kind) {
    case DeviceKind::cpu:
      layer_norm_forward_cpu(y, mean, rstd, in, w, b, eps);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) layer_norm_forward_cuda(y, mean, rstd, in, w, b, eps);
      else unsupported_device("layer_norm", x.device());
      break;
  }
  if (auto node = record<LayerNormNode>({&x, &weight, &bias})) {
    node->x.save(in);
    node->weight.save(w);
    node->mean.save(mean);
    node->rstd.save(rstd);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
