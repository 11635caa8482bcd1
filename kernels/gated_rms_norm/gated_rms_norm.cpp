#include "kernels/gated_rms_norm/gated_rms_norm.h"

#include "kernels/block_sums.h"
#include "kernels/gated_rms_norm/gated_rms_norm_kernels.h"
#include "kernels/norm_arguments.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// A contiguous tensor [..,C] as [rows,C]; undefined stays undefined.
TensorView rows_of(const Tensor& x) { return x.defined() ? as_matrix(x).view() : TensorView(); }

struct GatedRmsNormNode : Node {
  GatedRmsNormNode(int64_t group_count, bool norm_first, double multiplier)
      : Node("gated_rms_norm"), groups(group_count), norm_before_gate(norm_first), gate_multiplier(multiplier) {}
  int64_t groups;
  bool norm_before_gate;
  double gate_multiplier;
  SavedTensor x{this, "x"}, gate{this, "gate"};  // [rows,C]
  SavedTensor weight{this, "weight"}, rstd{this, "rstd"};

  void backward(Backward& b) override {
    const Tensor& dy = b.grad();
    OpScope scope("gated_rms_norm_backward", {&dy, &x.get(), &gate.get(), &weight.get(), &rstd.get()});
    const Tensor dy_rows = as_matrix(dy);
    const int64_t rows = dy_rows.size(0), columns = dy_rows.size(1);
    const Tensor dx = b.needs(0) ? empty(dy.shape(), dy.dtype(), dy.device()) : Tensor();
    const Tensor dgate = b.needs(1) ? empty(dy.shape(), dy.dtype(), dy.device()) : Tensor();
    const Backward::Target dweight = wanted_target(b, 2, {columns}, weight.get().dtype(), dy.device());
    const Tensor partial =
        b.needs(2) ? empty({sum_blocks(rows, dy.device()), 1, columns}, rstd.get().dtype(), dy.device()) : Tensor();
    const GatedRmsNormInputs in{x.get(), gate.get(), weight.get(), groups, norm_before_gate, gate_multiplier};
    const GatedRmsNormGradients grads{
        dy_rows, rstd.get(), rows_of(dx), rows_of(dgate), gradient_view(dweight), view_or_none(partial)};
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        gated_rms_norm_backward_cpu(in, grads);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) gated_rms_norm_backward_cuda(in, grads);
        else unsupported_device("gated_rms_norm_backward", dy.device());
        break;
    }
    if (b.needs(0)) b.set(0, dx);
    if (b.needs(1)) b.set(1, dgate);
    set_gradient(b, 2, dweight);
    scope.done({&dx, &dgate, &dweight.tensor});
  }
};

void check_inputs(const Tensor& x, const Tensor& gate, const Tensor& weight, int64_t groups) {
  check(x.defined() && gate.defined() && weight.defined(),
        "gated_rms_norm: x, gate and weight must be tensors; got an undefined one");
  check_normalised("gated_rms_norm", x);
  if (!(gate.shape() == x.shape()) || gate.dtype() != x.dtype() || gate.device() != x.device())
    fail("gated_rms_norm: gate must be like x; got {} (x is {})", describe(gate), describe(x));
  check_norm_parameter("gated_rms_norm", "weight", weight, x);
  if (groups < 1 || x.size(-1) % groups != 0)
    fail("gated_rms_norm: groups must divide C={}; got {} (x is {})", x.size(-1), groups, describe(x));
}

}  // namespace

Tensor gated_rms_norm(const Tensor& x, const Tensor& gate, const Tensor& weight, int64_t groups, bool norm_before_gate,
                      double eps, double gate_multiplier) {
  check_inputs(x, gate, weight, groups);
  OpScope scope("gated_rms_norm", {&x, &gate, &weight});
  const Tensor x_rows = as_matrix(x), gate_rows = as_matrix(gate), w = contiguous_values(weight);
  const Tensor y = empty(x.shape(), x.dtype(), x.device());
  const Tensor rstd = empty({x_rows.size(0), groups}, x.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32, x.device());
  const GatedRmsNormInputs in{x_rows, gate_rows, w, groups, norm_before_gate, gate_multiplier};
  switch (x.device().kind) {
    case DeviceKind::cpu:
      gated_rms_norm_forward_cpu(in, rows_of(y), rstd, eps);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) gated_rms_norm_forward_cuda(in, rows_of(y), rstd, eps);
      else unsupported_device("gated_rms_norm", x.device());
      break;
  }
  if (auto node = record<GatedRmsNormNode>({&x, &gate, &weight}, groups, norm_before_gate, gate_multiplier)) {
    node->x.save(x_rows);
    node->gate.save(gate_rows);
    node->weight.save(w);
    node->rstd.save(rstd);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
