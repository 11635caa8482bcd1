#include "kernels/dropout/dropout.h"

#include "kernels/arguments.h"
#include "kernels/dropout/dropout_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// The same map forward and backward.
Tensor drop(const char* op, const Tensor& x, double p, const RandomKey& key, const StepState* state) {
  OpScope scope(op, {&x});
  const Tensor in = contiguous_values(x), y = empty_like(x);
  switch (x.device().kind) {
    case DeviceKind::cpu:
      dropout_cpu(y, in, p, key, state);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) dropout_cuda(y, in, p, key, state);
      else unsupported_device(op, x.device());
      break;
  }
  scope.done({&y});
  return y;
}

struct DropoutNode : Node {
  DropoutNode(double probability, const RandomKey& random_key, const StepState* step_state)
      : Node("dropout"), p(probability), key(random_key), state(step_state) {}
  double p;
  RandomKey key;
  const StepState* state;
  void backward(Backward& b) override { b.set(0, drop("dropout_backward", b.grad(), p, key, state)); }
};

}  // namespace

Tensor dropout(const Tensor& x, double p, const RandomKey& key, const StepState* state) {
  check(x.defined(), "dropout: x must be a tensor; got an undefined one");
  if (!is_computed(x.dtype())) fail("dropout: x must be f32, f64 or bf16; got {}", describe(x));
  if (!(p >= 0 && p < 1)) fail("dropout: p must be in [0, 1); got {} (x is {})", p, describe(x));
  check(key.stream == RandomStream::dropout, "dropout: the key's stream must be RandomStream::dropout; got stream {}",
        static_cast<uint32_t>(key.stream));
  if (p == 0) return x;
  const Tensor y = drop("dropout", x, p, key, state);
  if (auto node = record<DropoutNode>({&x}, p, key, state)) node->attach({&y});
  return y;
}

}  // namespace vigor
