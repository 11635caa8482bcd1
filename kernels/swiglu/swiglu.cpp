#include "kernels/swiglu/swiglu.h"

#include "kernels/arguments.h"
#include "kernels/swiglu/swiglu_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct SwigluNode : Node {
  explicit SwigluNode(double multiplier) : Node("swiglu"), gate_multiplier(multiplier) {}
  double gate_multiplier;
  SavedTensor gate{this, "gate"}, up{this, "up"};  // [rows,C]

  void backward(Backward& b) override {
    OpScope scope("swiglu_backward", {&b.grad(), &gate.get(), &up.get()});
    const Tensor dy = as_matrix(b.grad());
    const Shape& sizes = b.grad().shape();
    const Tensor dgate = b.needs(0) ? empty(sizes, dy.dtype(), dy.device()) : Tensor();
    const Tensor dup = b.needs(1) ? empty(sizes, dy.dtype(), dy.device()) : Tensor();
    const TensorView dgate_rows = dgate.defined() ? as_matrix(dgate).view() : TensorView();
    const TensorView dup_rows = dup.defined() ? as_matrix(dup).view() : TensorView();
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        swiglu_backward_cpu(dgate_rows, dup_rows, dy, gate.get(), up.get(), gate_multiplier);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) swiglu_backward_cuda(dgate_rows, dup_rows, dy, gate.get(), up.get(), gate_multiplier);
        else unsupported_device("swiglu_backward", dy.device());
        break;
    }
    if (b.needs(0)) b.set(0, dgate);
    if (b.needs(1)) b.set(1, dup);
    scope.done({&dgate, &dup});
  }
};

}  // namespace

Tensor swiglu(const Tensor& gate, const Tensor& up, double gate_multiplier) {
  check(gate.defined() && up.defined(), "swiglu: gate and up must be tensors; got an undefined one");
  if (!is_computed(gate.dtype()) || gate.rank() == 0)
    fail("swiglu: gate must be [..,C] in f32, f64 or bf16; got {}", describe(gate));
  if (!(up.shape() == gate.shape()) || up.dtype() != gate.dtype() || up.device() != gate.device())
    fail("swiglu: up must be like gate; got {} (gate is {})", describe(up), describe(gate));
  OpScope scope("swiglu", {&gate, &up});
  const Tensor gate_rows = as_matrix(gate), up_rows = as_matrix(up);
  const Tensor y = empty(gate.shape(), gate.dtype(), gate.device());
  switch (gate.device().kind) {
    case DeviceKind::cpu:
      swiglu_forward_cpu(as_matrix(y), gate_rows, up_rows, gate_multiplier);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) swiglu_forward_cuda(as_matrix(y), gate_rows, up_rows, gate_multiplier);
      else unsupported_device("swiglu", gate.device());
      break;
  }
  if (auto node = record<SwigluNode>({&gate, &up}, gate_multiplier)) {
    node->gate.save(gate_rows);
    node->up.save(up_rows);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
