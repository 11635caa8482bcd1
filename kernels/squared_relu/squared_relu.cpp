#include "kernels/squared_relu/squared_relu.h"

#include "autograd/node.h"
#include "kernels/arguments.h"
#include "kernels/squared_relu/squared_relu_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct SquaredReluNode : Node {
  SquaredReluNode() : Node("squared_relu") {}
  SavedTensor x{this, "x"};

  void backward(Backward& b) override {
    const Tensor dy = contiguous_values(b.grad());
    OpScope scope("squared_relu_backward", {&dy, &x.get()}, 3.0 * static_cast<double>(dy.numel()));
    const Tensor dx = empty_like(dy);
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        squared_relu_backward_cpu(dx, dy, x.get());
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) squared_relu_backward_cuda(dx, dy, x.get());
        else unsupported_device("squared_relu_backward", dy.device());
        break;
    }
    b.set(0, dx);  // dx = 2 max(x, 0) dy
    scope.done({&dx});
  }
};

}  // namespace

Tensor squared_relu(const Tensor& any_x) {
  if (!is_computed(any_x.dtype())) fail("squared_relu: x must be f32, f64 or bf16; got {}", describe(any_x));
  const Tensor x = contiguous_values(any_x);
  OpScope scope("squared_relu", {&any_x}, 2.0 * static_cast<double>(x.numel()));
  const Tensor y = empty_like(x);
  switch (x.device().kind) {
    case DeviceKind::cpu:
      squared_relu_forward_cpu(y, x);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) squared_relu_forward_cuda(y, x);
      else unsupported_device("squared_relu", x.device());
      break;
  }
  if (auto node = record<SquaredReluNode>({&any_x})) {
    node->x.save(x);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
