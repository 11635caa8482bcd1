#include "kernels/elementwise/elementwise.h"

#include "autograd/node.h"
#include "kernels/arguments.h"
#include "kernels/elementwise/elementwise_kernels.h"
#include "kernels/reduce/sum_to.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct Row {
  const char* name;
  const char* backward_name;
  Keep keep;
};

const Row& row_of(Unary op) {
  static constexpr Row kRows[] = {
#define VIGOR_ROW(name, value, slope, keep) {#name, #name "_backward", keep},
      VIGOR_UNARY_ROWS(VIGOR_ROW)
#undef VIGOR_ROW
  };
  return kRows[static_cast<size_t>(op)];
}

const Row& row_of(Binary op) {
  static constexpr Row kRows[] = {
#define VIGOR_ROW(name, value, slope_a, slope_b, keep) {#name, #name "_backward", keep},
      VIGOR_BINARY_ROWS(VIGOR_ROW)
#undef VIGOR_ROW
  };
  return kRows[static_cast<size_t>(op)];
}

void launch_unary(Unary op, const Tensor& y, const Tensor& x, double s, double t) {
  switch (x.device().kind) {
    case DeviceKind::cpu:
      return unary_forward_cpu(op, y, x, s, t);
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return unary_forward_cuda(op, y, x, s, t);
      else unsupported_device(row_of(op).name, x.device());
  }
}

void launch_unary_backward(Unary op, const Tensor& dx, const Tensor& dy, const Tensor& kept, double s, double t) {
  switch (dy.device().kind) {
    case DeviceKind::cpu:
      return unary_backward_cpu(op, dx, dy, view_or_none(kept), s, t);
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return unary_backward_cuda(op, dx, dy, view_or_none(kept), s, t);
      else unsupported_device(row_of(op).backward_name, dy.device());
  }
}

void launch_binary(Binary op, const Tensor& y, const TensorView& a, const TensorView& b) {
  switch (y.device().kind) {
    case DeviceKind::cpu:
      return binary_forward_cpu(op, y, a, b);
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return binary_forward_cuda(op, y, a, b);
      else unsupported_device(row_of(op).name, y.device());
  }
}

void launch_binary_backward(Binary op, int input, const Tensor& dx, const Tensor& dy, const TensorView& a,
                            const TensorView& b) {
  switch (dy.device().kind) {
    case DeviceKind::cpu:
      return binary_backward_cpu(op, input, dx, dy, a, b);
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return binary_backward_cuda(op, input, dx, dy, a, b);
      else unsupported_device(row_of(op).backward_name, dy.device());
  }
}

struct UnaryNode : Node {
  UnaryNode(Unary operation, double s_number, double t_number)
      : Node(row_of(operation).name), op(operation), s(s_number), t(t_number) {}

  Unary op;
  double s, t;
  SavedTensor kept{this, row_of(op).keep == Keep::x ? "x" : "y"};

  void backward(Backward& b) override {
    const Tensor& dy = b.grad();
    OpScope scope(row_of(op).backward_name, {&dy, &kept.get()}, static_cast<double>(dy.numel()));
    const Tensor dx = empty_like(dy);
    launch_unary_backward(op, dx, dy, kept.get(), s, t);
    b.set(0, dx);
    scope.done({&dx});
  }
};

Tensor unary(Unary op, const Tensor& x, double s = 0, double t = 0) {
  const Row& row = row_of(op);
  if (!is_computed(x.dtype())) fail("{}: x must be f32, f64 or bf16; got {}", row.name, describe(x));
  OpScope scope(row.name, {&x}, static_cast<double>(x.numel()));
  const Tensor y = empty_like(x);
  launch_unary(op, y, x, s, t);
  if (auto node = record<UnaryNode>({&x}, op, s, t)) {
    if (row.keep == Keep::x) node->kept.save(x);
    if (row.keep == Keep::y) node->kept.save(y);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

struct BinaryNode : Node {
  BinaryNode(Binary operation, const Shape& sizes_of_a, const Shape& sizes_of_b)
      : Node(row_of(operation).name), op(operation), sizes{sizes_of_a, sizes_of_b} {}

  Binary op;
  Shape sizes[2];
  SavedTensor a{this, "a"}, b{this, "b"};

  void backward(Backward& back) override {
    const Tensor& dy = back.grad();
    for (int input = 0; input < 2; ++input)
      if (back.needs(input)) back.set(input, sum_to(gradient(input, dy), sizes[input]));
  }

  // Before the sum over expanded dimensions.
  Tensor gradient(int input, const Tensor& dy) {
    if (op == Binary::add || (op == Binary::sub && input == 0)) return dy;
    OpScope scope(row_of(op).backward_name, {&dy, &a.get(), &b.get()}, static_cast<double>(dy.numel()));
    const Tensor dx = empty_like(dy);
    // An operand that was not saved is one that the formula does not read: any view does in its place.
    const TensorView u = a.defined() ? expanded(a.get(), dy.shape(), name()) : dy.view();
    const TensorView v = b.defined() ? expanded(b.get(), dy.shape(), name()) : dy.view();
    launch_binary_backward(op, input, dx, dy, u, v);
    scope.done({&dx});
    return dx;
  }
};

Tensor binary(Binary op, const Tensor& a, const Tensor& b) {
  const Row& row = row_of(op);
  if (!is_computed(a.dtype()) || a.dtype() != b.dtype() || !(a.device() == b.device()))
    fail("{}: both inputs must be on one device and of one dtype, f32, f64 or bf16; got {} and {}", row.name,
         describe(a), describe(b));
  const Shape sizes = broadcast_shapes(a.shape(), b.shape(), row.name);
  OpScope scope(row.name, {&a, &b}, static_cast<double>(sizes.numel()));
  const Tensor y = empty(sizes, a.dtype(), a.device());
  launch_binary(op, y, expanded(a, sizes, row.name), expanded(b, sizes, row.name));
  if (auto node = record<BinaryNode>({&a, &b}, op, a.shape(), b.shape())) {
    if (row.keep == Keep::inputs) {  // df/da needs b, df/db needs a, and for div also b
      if (node->edges()[1].wanted()) node->a.save(a);
      if (node->edges()[0].wanted() || op == Binary::div) node->b.save(b);
    }
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace

#define VIGOR_DEFINE(name, ...) \
  Tensor name(const Tensor& x) { return unary(Unary::name, x); }
VIGOR_FUNCTION_ROWS(VIGOR_DEFINE)
#undef VIGOR_DEFINE

Tensor clamp(const Tensor& x, double low, double high) {
  check(low <= high, "clamp: low must not exceed high; got {} and {}", low, high);
  return unary(Unary::clamp, x, low, high);
}

Tensor add(const Tensor& a, const Tensor& b) { return binary(Binary::add, a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return binary(Binary::sub, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return binary(Binary::mul, a, b); }
Tensor div(const Tensor& a, const Tensor& b) { return binary(Binary::div, a, b); }
Tensor add(const Tensor& a, double b) { return unary(Unary::add_number, a, b); }
Tensor sub(const Tensor& a, double b) { return unary(Unary::add_number, a, -b); }
Tensor mul(const Tensor& a, double b) { return unary(Unary::mul_number, a, b); }
Tensor div(const Tensor& a, double b) { return unary(Unary::div_number, a, b); }
Tensor add(double a, const Tensor& b) { return unary(Unary::add_number, b, a); }
Tensor sub(double a, const Tensor& b) { return unary(Unary::number_sub, b, a); }
Tensor mul(double a, const Tensor& b) { return unary(Unary::mul_number, b, a); }
Tensor div(double a, const Tensor& b) { return unary(Unary::number_div, b, a); }

}  // namespace vigor
