#include "kernels/low_rank_linear/low_rank_linear.h"

#include "kernels/arguments.h"
#include "kernels/linear/linear_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// Of the forward; each gradient of a factor or of its input costs as much again.
double flops_of(int64_t rows, const Tensor& lora_a, const Tensor& lora_b) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(lora_a.numel() + lora_b.numel());
}

// h is an activation: bf16 beside bf16 on both sides, which is what lets tensor cores compute both products.
Dtype dtype_of_h(const Tensor& x, const Tensor& lora_a, const Tensor& lora_b) {
  const bool all_bf16 = x.dtype() == Dtype::bf16 && lora_a.dtype() == Dtype::bf16 && lora_b.dtype() == Dtype::bf16;
  return all_bf16 ? Dtype::bf16 : x.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32;
}

struct LowRankLinearNode : Node {
  LowRankLinearNode() : Node("low_rank_linear") {}
  SavedTensor x{this, "x"}, h{this, "h"}, lora_a{this, "lora_a"}, lora_b{this, "lora_b"};  // x [rows,in], h [rows,r]
  Shape input_shape;
  Dtype bias_dtype = Dtype::f32;

  void backward(Backward& b) override {
    const Tensor dy = as_matrix(b.grad());  // [rows,out]
    const Tensor &a_factor = lora_a.get(), &b_factor = lora_b.get();
    OpScope scope("low_rank_linear_backward", {&dy, &x.get(), &h.get(), &a_factor, &b_factor},
                  2.0 * flops_of(dy.size(0), a_factor, b_factor));
    const bool wants_dh = b.needs(0) || b.needs(2);
    const Tensor dh = wants_dh ? empty_like(h.get()) : Tensor();
    const Tensor dx = b.needs(0) ? empty(input_shape, x.get().dtype(), dy.device()) : Tensor();
    const Backward::Target da = wanted_target(b, 1, a_factor.shape(), a_factor.dtype(), dy.device());
    const Backward::Target db = wanted_target(b, 2, b_factor.shape(), b_factor.dtype(), dy.device());
    const Backward::Target dbias = wanted_target(b, 3, {a_factor.size(0)}, bias_dtype, dy.device());
    const TensorView dx_rows = dx ? as_matrix(dx).view() : TensorView();
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        linear_backward_cpu(view_or_none(dh), gradient_view(da), gradient_view(dbias), dy, h.get(), a_factor);
        if (wants_dh) linear_backward_cpu(dx_rows, gradient_view(db), {}, dh, x.get(), b_factor);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) {
          linear_backward_cuda(view_or_none(dh), gradient_view(da), gradient_view(dbias), dy, h.get(), a_factor);
          if (wants_dh) linear_backward_cuda(dx_rows, gradient_view(db), {}, dh, x.get(), b_factor);
        } else {
          unsupported_device("low_rank_linear_backward", dy.device());
        }
        break;
    }
    if (dx) b.set(0, dx);
    set_gradient(b, 1, da);
    set_gradient(b, 2, db);
    set_gradient(b, 3, dbias);
    scope.done({&dx, &da.tensor, &db.tensor, &dbias.tensor});
  }
};

void check_arguments(const Tensor& x, const Tensor& lora_a, const Tensor& lora_b, const Tensor& bias) {
  const char* op = "low_rank_linear";
  check(x.defined() && lora_a.defined() && lora_b.defined(), "{}: x, lora_a and lora_b must be tensors", op);
  if (!is_computed(x.dtype()) || x.rank() == 0 || x.size(-1) == 0)
    fail("{}: x must be [..,in] in f32, f64 or bf16 with in at least 1; got {}", op, describe(x));
  if (lora_a.rank() != 2 || lora_b.rank() != 2 || lora_a.size(1) != lora_b.size(0) || lora_b.size(1) != x.size(-1))
    fail("{}: lora_a must be [out,r] and lora_b [r,in] with in the last dimension of x; got {} and {} (x is {})", op,
         describe(lora_a), describe(lora_b), describe(x));
  for (const Tensor* factor : {&lora_a, &lora_b})
    if (!is_computed(factor->dtype()) || (x.dtype() == Dtype::f64) != (factor->dtype() == Dtype::f64) ||
        factor->device() != x.device())
      fail("{}: {} must be f64 beside f64, else f32 or bf16, on the device of x; got {} (x is {})", op,
           factor == &lora_a ? "lora_a" : "lora_b", describe(*factor), describe(x));
  if (!bias.defined()) return;
  if (!(bias.shape() == Shape{lora_a.size(0)}) || !fits_beside(bias, x) || bias.device() != x.device())
    fail("{}: bias must be [out]=[{}] in the dtype of x, or f32 beside bf16; got {} (x is {})", op, lora_a.size(0),
         describe(bias), describe(x));
}

}  // namespace

Tensor low_rank_linear(const Tensor& x, const Tensor& lora_a, const Tensor& lora_b, const Tensor& bias) {
  check_arguments(x, lora_a, lora_b, bias);
  const Tensor rows = as_matrix(x), a = as_matrix(lora_a), b = as_matrix(lora_b), offset = bias_in(bias, x.dtype());
  OpScope scope("low_rank_linear", {&x, &lora_a, &lora_b, &bias}, flops_of(rows.size(0), lora_a, lora_b));
  const Tensor h = empty({rows.size(0), lora_b.size(0)}, dtype_of_h(x, lora_a, lora_b), x.device());
  Shape sizes = x.shape();
  sizes[sizes.rank() - 1] = lora_a.size(0);
  const Tensor y = empty(sizes, x.dtype(), x.device());
  switch (x.device().kind) {
    case DeviceKind::cpu:
      linear_forward_cpu(h, rows, b, {});
      linear_forward_cpu(as_matrix(y), h, a, view_or_none(offset));
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) {
        linear_forward_cuda(h, rows, b, {});
        linear_forward_cuda(as_matrix(y), h, a, view_or_none(offset));
      } else {
        unsupported_device("low_rank_linear", x.device());
      }
      break;
  }
  if (auto node = record<LowRankLinearNode>({&x, &lora_a, &lora_b, &bias})) {
    node->x.save(rows);
    node->h.save(h);
    node->lora_a.save(a);
    node->lora_b.save(b);
    node->input_shape = x.shape();
    if (bias.defined()) node->bias_dtype = bias.dtype();
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
