#include "kernels/dropout/dropout.h"

#include "kernels/arguments.h"
#include "kernels/dropout/dropout_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// The same map forward and backward.
Tensor drop(const char* op, const Tensor& x, double p, const RandomKey& key) {
  OpScope scope(op, {&x});
  const Tensor y = empty_like(x);
  switch (x.device().kind) {
    case DeviceKind::cpu:
      dropout_cpu(y, contiguous_values(x), p, key);
      break;
    case DeviceKind::cuda:
      unsupported_device(op, x.device());
  }
  scope.done({&y});
  return y;
}

struct DropoutNode : Node {
  DropoutNode(double probability, const RandomKey& random_key) : Node("dropout"), p(probability), key(random_key) {}
  double p;
  RandomKey key;
  void backward(Backward& b) override { b.set(0, drop("dropout_backward", b.grad(), p, key)); }
};

}  // namespace

Tensor dropout(const Tensor& x, double p, const RandomKey& key) {
  check(x.defined(), "dropout: x must be a tensor; got an undefined one");
  if (!is_computed(x.dtype())) fail("dropout: x must be f32, f64 or bf16; got {}", describe(x));
  if (!(p >= 0 && p < 1)) fail("dropout: p must be in [0, 1); got {} (x is {})", p, describe(x));
  check(key.stream == RandomStream::dropout, "dropout: the key's stream must be RandomStream::dropout; got stream {}",
        static_cast<uint32_t>(key.stream));
  if (p == 0) return x;
  const Tensor y = drop("dropout", x, p, key);
  if (auto node = record<DropoutNode>({&x}, p, key)) node->attach({&y});
  return y;
}

}  // namespace vigor
