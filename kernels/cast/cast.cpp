#include "kernels/cast/cast.h"

#include "autograd/node.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

// The raw copy of tensor/primitives.h converts, for every device.
Tensor converted(const Tensor& x, Dtype dtype) {
  const Tensor y = empty(x.shape(), dtype, x.device());
  copy(y, x);
  return y;
}

struct CastNode : Node {
  explicit CastNode(Dtype dtype_of_x) : Node("cast"), dtype(dtype_of_x) {}
  Dtype dtype;
  void backward(Backward& b) override {
    OpScope scope("cast_backward", {&b.grad()});
    const Tensor dx = converted(b.grad(), dtype);
    b.set(0, dx);
    scope.done({&dx});
  }
};

}  // namespace

Tensor cast(const Tensor& x, Dtype dtype) {
  if (x.dtype() == dtype) return x;
  OpScope scope("cast", {&x});
  const Tensor y = converted(x, dtype);
  if (is_floating(dtype))
    if (auto node = record<CastNode>({&x}, x.dtype())) node->attach({&y});
  scope.done({&y});
  return y;
}

}  // namespace vigor
