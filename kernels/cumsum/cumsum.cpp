#include "kernels/cumsum/cumsum.h"

#include "autograd/node.h"
#include "kernels/arguments.h"
#include "kernels/cumsum/cumsum_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

Tensor running_sum(const char* op, const Tensor& x, int dim, bool reverse) {
  OpScope scope(op, {&x}, static_cast<double>(x.numel()));
  const Tensor y = empty_like(x);
  switch (x.device().kind) {
    case DeviceKind::cpu:
      cumsum_cpu(y, x, dim, reverse);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) cumsum_cuda(y, x, dim, reverse);
      else unsupported_device(op, x.device());
      break;
  }
  scope.done({&y});
  return y;
}

struct CumsumNode : Node {
  explicit CumsumNode(int along) : Node("cumsum"), dim(along) {}
  int dim;
  void backward(Backward& b) override { b.set(0, running_sum("cumsum_backward", b.grad(), dim, true)); }
};

}  // namespace

Tensor cumsum(const Tensor& x, int dim) {
  dim = normalize_dim(dim, x.rank(), "cumsum");
  if (!is_computed(x.dtype())) fail("cumsum: x must be f32, f64 or bf16; got {}", describe(x));
  const Tensor y = running_sum("cumsum", x, dim, false);
  if (auto node = record<CumsumNode>({&x}, dim)) node->attach({&y});
  return y;
}

}  // namespace vigor
