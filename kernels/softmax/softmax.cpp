#include "kernels/softmax/softmax.h"

#include "kernels/arguments.h"
#include "kernels/softmax/softmax_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct SoftmaxNode : Node {
  explicit SoftmaxNode(int softmax_dim) : Node("softmax"), dim(softmax_dim) {}
  int dim;
  SavedTensor y{this, "y"};

  void backward(Backward& b) override {
    const Tensor dy = contiguous_values(b.grad());
    OpScope scope("softmax_backward", {&dy, &y.get()});
    const Tensor dx = empty_like(dy);
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        softmax_backward_cpu(dx, dy, y.get(), dim);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) softmax_backward_cuda(dx, dy, y.get(), dim);
        else unsupported_device("softmax_backward", dy.device());
        break;
    }
    b.set(0, dx);
    scope.done({&dx});
  }
};

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  check(x.defined(), "softmax: x must be a tensor; got an undefined one");
  if (!is_computed(x.dtype()) || x.rank() == 0)
    fail("softmax: x must have at least one dimension and be f32, f64 or bf16; got {}", describe(x));
  const int axis = normalize_dim(dim, x.rank(), "softmax");
  OpScope scope("softmax", {&x});
  const Tensor y = empty_like(x);
  switch (x.device().kind) {
    case DeviceKind::cpu:
      softmax_forward_cpu(y, contiguous_values(x), axis);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) softmax_forward_cuda(y, contiguous_values(x), axis);
      else unsupported_device("softmax", x.device());
      break;
  }
  if (auto node = record<SoftmaxNode>({&x}, axis)) {
    node->y.save(y);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
