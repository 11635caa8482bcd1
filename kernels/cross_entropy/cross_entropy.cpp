#include "kernels/cross_entropy/cross_entropy.h"

#include "kernels/arguments.h"
#include "kernels/cross_entropy/class_targets.h"
#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct CrossEntropyNode : Node {
  CrossEntropyNode() : Node("cross_entropy") {}
  SavedTensor gradient{this, "dlogits/dloss"};  // [N,V]

  void backward(Backward& b) override {
    const Tensor dlogits = gradient.get();  // nobody else reads it: scaled in place
    OpScope scope("cross_entropy_backward", {&b.grad(), &dlogits});
    switch (dlogits.device().kind) {
      case DeviceKind::cpu:
        scaled_gradient_cpu({dlogits}, dlogits, b.grad());
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) scaled_gradient_cuda({dlogits}, dlogits, b.grad());
        else unsupported_device("cross_entropy_backward", dlogits.device());
        break;
    }
    gradient.release();
    b.set(0, dlogits);
    scope.done({&dlogits});
  }
};

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, int64_t ignore_index) {
  check(logits.defined(), "cross_entropy: logits must be a tensor; got an undefined one");
  if (!is_computed(logits.dtype()) || logits.rank() != 2 || logits.numel() == 0)
    fail("cross_entropy: logits must be [N,V] in f32, f64 or bf16, neither of them 0; got {}", describe(logits));
  const int64_t N = logits.size(0), V = logits.size(1);
  const ClassTargets classes = class_targets("cross_entropy", targets, N, V, ignore_index, logits.device());
  OpScope scope("cross_entropy", {&logits, &targets});
  const Tensor in = contiguous_values(logits);
  const Dtype loss_dtype = logits.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32;
  const Tensor losses = empty({N}, loss_dtype, logits.device()), loss = empty({}, loss_dtype, logits.device());
  const auto node = record<CrossEntropyNode>({&logits});
  const Tensor dlogits = node ? empty_like(in) : Tensor();
  const CrossEntropyRows rows{in, classes.ids, ignore_index, classes.weight, losses, view_or_none(dlogits)};
  switch (logits.device().kind) {
    case DeviceKind::cpu:
      cross_entropy_rows_cpu(rows);
      weighted_loss_cpu(loss, losses, classes.weight);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) {
        cross_entropy_rows_cuda(rows);
        weighted_loss_cuda(loss, losses, classes.weight);
      } else {
        unsupported_device("cross_entropy", logits.device());
      }
      break;
  }
  if (node) {
    node->gradient.save(dlogits);
    node->attach({&loss});
  }
  scope.done({&loss});
  return loss;
}

}  // namespace vigor
