#include "kernels/linear/linear.h"

#include "kernels/arguments.h"
#include "kernels/gelu/gelu_kernels.h"
#include "kernels/linear/linear_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

double flops_of(const Tensor& x, const Tensor& weight) {
  return 2.0 * static_cast<double>(x.numel()) * static_cast<double>(weight.size(0));
}

Shape with_last(Shape sizes, int64_t last) {
  sizes[sizes.rank() - 1] = last;
  return sizes;
}

// The same memory as [rows,C]; x is contiguous.
TensorView rows_of(const Tensor& x) { return as_matrix(x).view(); }

// Both nodes: the gradients of x, weight and bias from that of the product, dy [rows,out].
struct LinearNode : Node {
  explicit LinearNode(const char* name = "linear") : Node(name) {}
  SavedTensor x{this, "x"}, weight{this, "weight"};  // x as [rows,in]
  Shape input_shape;
  Dtype bias_dtype = Dtype::f32;

  void backward(Backward& b) override {
    const Tensor dy = as_matrix(b.grad());
    OpScope scope("linear_backward", {&dy, &x.get(), &weight.get()}, backward_flops(b));
    linear_backward(b, dy, "linear_backward", scope);
  }

  double backward_flops(const Backward& b) const {
    return ((b.needs(0) ? 1 : 0) + (b.needs(1) ? 1 : 0)) * flops_of(x.get(), weight.get());
  }

  void linear_backward(Backward& b, const Tensor& dy, const char* op, OpScope& scope) {
    const Tensor& w = weight.get();
    const Tensor dx = b.needs(0) ? empty(input_shape, x.get().dtype(), dy.device()) : Tensor();
    const Backward::Target dweight = wanted_target(b, 1, w.shape(), w.dtype(), dy.device());
    const Backward::Target dbias = wanted_target(b, 2, {w.size(0)}, bias_dtype, dy.device());
    const TensorView dx_rows = dx ? rows_of(dx) : TensorView();
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        linear_backward_cpu(dx_rows, gradient_view(dweight), gradient_view(dbias), dy, x.get(), w);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild)
          linear_backward_cuda(dx_rows, gradient_view(dweight), gradient_view(dbias), dy, x.get(), w);
        else unsupported_device(op, dy.device());
        break;
    }
    if (dx) b.set(0, dx);
    set_gradient(b, 1, dweight);
    set_gradient(b, 2, dbias);
    scope.done({&dx, &dweight.tensor, &dbias.tensor});
  }
};

struct LinearGeluNode : LinearNode {
  LinearGeluNode() : LinearNode("linear_gelu") {}
  SavedTensor pre{this, "pre"};  // [rows,out]

  void backward(Backward& b) override {
    // dpre takes the memory of dy when nobody else can see it: a large array less to write.
    const bool reuse = b.grad().is_sole_owner() && b.grad().is_contiguous();
    const Tensor dy = contiguous_values(b.grad());
    OpScope scope("linear_gelu_backward", {&dy, &pre.get(), &x.get(), &weight.get()}, backward_flops(b));
    const Tensor dpre = reuse ? dy : empty_like(dy);
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        gelu_backward_cpu(dpre, dy, pre.get(), GeluKind::erf);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) gelu_backward_cuda(dpre, dy, pre.get(), GeluKind::erf);
        else unsupported_device("linear_gelu_backward", dy.device());
        break;
    }
    linear_backward(b, as_matrix(dpre), "linear_gelu_backward", scope);
  }
};

void check_arguments(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x.defined() && weight.defined(), "{}: x and weight must be tensors; got an undefined one", op);
  if (!is_computed(x.dtype()) || x.rank() == 0 || x.size(-1) == 0)
    fail("{}: x must be [..,in] in f32, f64 or bf16 with in at least 1; got {}", op, describe(x));
  if (weight.rank() != 2) fail("{}: weight must be [out,in]; got {}", op, describe(weight));
  if (x.size(-1) != weight.size(1))
    fail("{}: weight is {}, so the last dimension of x must be {}; x is {}", op, to_string(weight.shape()),
         weight.size(1), describe(x));
  if (!is_computed(weight.dtype()) || (x.dtype() == Dtype::f64) != (weight.dtype() == Dtype::f64) ||
      weight.device() != x.device())
    fail("{}: weight must be f64 beside f64, else f32 or bf16, on the device of x; got {} (x is {})", op,
         describe(weight), describe(x));
  if (!bias.defined()) return;
  if (!(bias.shape() == Shape{weight.size(0)}) || !fits_beside(bias, x) || bias.device() != x.device())
    fail("{}: bias must be [out]=[{}] in the dtype of x, or f32 beside bf16; got {} (x is {})", op, weight.size(0),
         describe(bias), describe(x));
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_arguments("linear", x, weight, bias);
  OpScope scope("linear", {&x, &weight, &bias}, flops_of(x, weight));
  const Tensor rows = as_matrix(x), w = as_matrix(weight), b = bias_in(bias, x.dtype());
  const Tensor y = empty(with_last(x.shape(), weight.size(0)), x.dtype(), x.device());
  switch (x.device().kind) {
    case DeviceKind::cpu:
      linear_forward_cpu(rows_of(y), rows, w, view_or_none(b));
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) linear_forward_cuda(rows_of(y), rows, w, view_or_none(b));
      else unsupported_device("linear", x.device());
      break;
  }
  if (auto node = record<LinearNode>({&x, &weight, &bias})) {
    node->x.save(rows);
    node->weight.save(w);
    node->input_shape = x.shape();
    if (bias.defined()) node->bias_dtype = bias.dtype();
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

Tensor linear_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(bias.defined(), "linear_gelu: bias must be a tensor; got an undefined one");
  check_arguments("linear_gelu", x, weight, bias);
  OpScope scope("linear_gelu", {&x, &weight, &bias}, flops_of(x, weight));
  const Tensor rows = as_matrix(x), w = as_matrix(weight), b = bias_in(bias, x.dtype());
  const Tensor y = empty(with_last(x.shape(), weight.size(0)), x.dtype(), x.device());
  // Without a graph nobody reads pre: its values go where y overwrites them.
  const Tensor pre = needs_graph({&x, &weight, &bias}) ? empty_like(y) : y;
  switch (x.device().kind) {
    case DeviceKind::cpu:
      linear_gelu_forward_cpu(rows_of(y), rows_of(pre), rows, w, b);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) linear_gelu_forward_cuda(rows_of(y), rows_of(pre), rows, w, b);
      else unsupported_device("linear_gelu", x.device());
      break;
  }
  if (auto node = record<LinearGeluNode>({&x, &weight, &bias})) {
    node->x.save(rows);
    node->weight.save(w);
    node->input_shape = x.shape();
    if (bias.defined()) node->bias_dtype = bias.dtype();
    node->pre.save(pre);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
