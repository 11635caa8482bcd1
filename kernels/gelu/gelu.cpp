#include "kernels/gelu/gelu.h"

#include "autograd/node.h"
#include "kernels/arguments.h"
#include "kernels/gelu/gelu_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct GeluNode : Node {
  explicit GeluNode(GeluKind gelu_kind) : Node("gelu"), kind(gelu_kind) {}
  GeluKind kind;
  SavedTensor x{this, "x"};

  void backward(Backward& b) override {
    const Tensor dy = contiguous_values(b.grad());
    OpScope scope("gelu_backward", {&dy, &x.get()});
    const Tensor dx = empty_like(dy);
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        gelu_backward_cpu(dx, dy, x.get(), kind);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) gelu_backward_cuda(dx, dy, x.get(), kind);
        else unsupported_device("gelu_backward", dy.device());
        break;
    }
    b.set(0, dx);
    scope.done({&dx});
  }
};

}  // namespace

Tensor gelu(const Tensor& x, GeluKind kind) {
  check(x.defined(), "gelu: x must be a tensor; got an undefined one");
  if (!is_computed(x.dtype())) fail("gelu: x must be f32, f64 or bf16; got {}", describe(x));
  OpScope scope("gelu", {&x});
  const Tensor in = contiguous_values(x);
  const Tensor y = empty_like(x);
  switch (x.device().kind) {
    case DeviceKind::cpu:
      gelu_forward_cpu(y, in, kind);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) gelu_forward_cuda(y, in, kind);
      else unsupported_device("gelu", x.device());
      break;
  }
  if (auto node = record<GeluNode>({&x}, kind)) {
    node->x.save(in);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
