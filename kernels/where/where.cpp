#include "kernels/where/where.h"

#include "autograd/node.h"
#include "kernels/reduce/sum_to.h"
#include "kernels/where/where_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// y = mask ? a : b in `sizes`, without a graph.
Tensor chosen(const char* op, const Tensor& mask, const Tensor& a, const Tensor& b, const Shape& sizes) {
  OpScope scope(op, {&mask, &a, &b});
  const Tensor y = empty(sizes, a.dtype(), a.device());
  switch (a.device().kind) {
    case DeviceKind::cpu:
      where_cpu(y, expanded(mask, sizes, op), expanded(a, sizes, op), expanded(b, sizes, op));
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild)
        where_cuda(y, expanded(mask, sizes, op), expanded(a, sizes, op), expanded(b, sizes, op));
      else unsupported_device(op, a.device());
      break;
  }
  scope.done({&y});
  return y;
}

struct WhereNode : Node {
  WhereNode(const char* name, const char* backward_name, const Shape& sizes_of_a, const Shape& sizes_of_b)
      : Node(name), backward_op(backward_name), sizes{sizes_of_a, sizes_of_b} {}
  const char* backward_op;
  Shape sizes[2];
  SavedTensor mask{this, "mask"};

  void backward(Backward& back) override {
    const Tensor& dy = back.grad();
    const Tensor zero = zeros({}, dy.dtype(), dy.device());
    for (int input = 0; input < 2; ++input) {
      if (!back.needs(input)) continue;
      const Tensor& a = input == 0 ? dy : zero;
      const Tensor& b = input == 0 ? zero : dy;
      back.set(input, sum_to(chosen(backward_op, mask.get(), a, b, dy.shape()), sizes[input]));
    }
  }
};

void require_mask(const Tensor& mask, const char* op) {
  if (mask.dtype() != Dtype::u8) fail("{}: the mask must be u8; got {}", op, describe(mask));
}

}  // namespace

Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b) {
  require_mask(mask, "where");
  if (a.dtype() != b.dtype() || !(a.device() == b.device()))
    fail("where: both choices must be of one dtype and on one device; got {} and {}", describe(a), describe(b));
  const Shape sizes = broadcast_shapes(mask.shape(), broadcast_shapes(a.shape(), b.shape(), "where"), "where");
  const Tensor y = chosen("where", mask, a, b, sizes);
  if (auto node = record<WhereNode>({&a, &b}, "where", "where_backward", a.shape(), b.shape())) {
    node->mask.save(mask);
    node->attach({&y});
  }
  return y;
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, double value) {
  require_mask(mask, "masked_fill");
  if (!(broadcast_shapes(mask.shape(), x.shape(), "masked_fill") == x.shape()))
    fail("masked_fill: the mask must fit into x; got {} for {}", describe(mask), describe(x));
  const Tensor filled = full({}, value, x.dtype(), x.device());
  const Tensor y = chosen("masked_fill", mask, filled, x, x.shape());
  // As where(mask, value, x): the number is an input that never wants a gradient.
  if (auto node = record<WhereNode>({&filled, &x}, "masked_fill", "masked_fill_backward", Shape{}, x.shape())) {
    node->mask.save(mask);
    node->attach({&y});
  }
  return y;
}

}  // namespace vigor
