#include "kernels/matmul/matmul.h"

#include "autograd/node.h"
#include "kernels/arguments.h"
#include "kernels/matmul/matmul_kernels.h"
#include "kernels/reduce/sum_to.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

Tensor transposed(const Tensor& x) {  // [.., R, C] -> [.., C, R]
  TensorView view = x;
  const int last = x.rank() - 1;
  std::swap(view.sizes[last], view.sizes[last - 1]);
  std::swap(view.strides[last], view.strides[last - 1]);
  return x.with_view(view);
}

// The leading sizes of `batch` (all but two) with the matrix sizes of x.
Shape in_batch(const Shape& batch, const Tensor& x) {
  Shape sizes = batch;
  sizes[sizes.rank() - 2] = x.size(-2);
  sizes[sizes.rank() - 1] = x.size(-1);
  return sizes;
}

// y (+)= a b
void launch(const char* op, const Tensor& y, const Tensor& a, const Tensor& b, bool accumulate) {
  const Tensor u = is_matrix_layout(a) ? a : clone(a), v = is_matrix_layout(b) ? b : clone(b);
  const TensorView a_view = expanded(u, in_batch(y.shape(), u), op), b_view = expanded(v, in_batch(y.shape(), v), op);
  switch (y.device().kind) {
    case DeviceKind::cpu:
      matmul_cpu(y, a_view, b_view, accumulate);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) matmul_cuda(y, a_view, b_view, accumulate);
      else unsupported_device(op, y.device());
      break;
  }
}

// x as one matrix: its leading dimensions are joined with the rows. [.., R, C] -> [.. * R, C]
Tensor as_one_matrix(const Tensor& x) {
  Shape sizes{1, x.size(-1)};
  for (int dim = 0; dim + 1 < x.rank(); ++dim) sizes[0] *= x.shape()[dim];
  if (const auto view = reshaped(x, sizes)) return x.with_view(*view);
  const Tensor copied = clone(x);
  return copied.with_view(*reshaped(copied, sizes));
}

struct MatmulNode : Node {
  MatmulNode(const Shape& sizes_of_a, const Shape& sizes_of_b)
      : Node("matmul"), a_sizes(sizes_of_a), b_sizes(sizes_of_b) {}
  Shape a_sizes, b_sizes;
  SavedTensor a{this, "a"}, b{this, "b"};

  void backward(Backward& back) override {
    const Tensor& dy = back.grad();
    if (back.needs(0)) set_product(back, 0, a_sizes, dy, transposed(b.get()));  // da = dy b^T
    if (!back.needs(1)) return;
    if (b_sizes.rank() == 2 && dy.rank() > 2) {  // one b for all: the sum over the batch is part of the product
      set_product(back, 1, b_sizes, transposed(as_one_matrix(a.get())), as_one_matrix(dy));
    } else {
      set_product(back, 1, b_sizes, transposed(a.get()), dy);  // db = a^T dy
    }
  }

  // The gradient u v of an input, summed to its sizes.
  void set_product(Backward& back, int input, const Shape& sizes, const Tensor& u, const Tensor& v) {
    Shape full = input == 0 ? u.shape() : v.shape();  // dy's, which has the whole batch
    full[full.rank() - 2] = u.size(-2);
    full[full.rank() - 1] = v.size(-1);
    OpScope scope("matmul_backward", {&u, &v},
                  2.0 * static_cast<double>(full.numel()) * static_cast<double>(u.size(-1)));
    if (full == sizes) {
      const Backward::Target target = back.target(input, sizes, u.dtype(), u.device());
      launch("matmul_backward", target.tensor, u, v, target.accumulate);
      back.set(input, target);
      scope.done({&target.tensor});
    } else {
      const Tensor product = empty(full, u.dtype(), u.device());
      launch("matmul_backward", product, u, v, false);
      back.set(input, sum_to(product, sizes));
      scope.done({&product});
    }
  }
};

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  if (a.rank() < 2 || b.rank() < 2 || a.size(-1) != b.size(-2))
    fail("matmul: a must be [..,M,K] and b [..,K,N]; got {} and {}", describe(a), describe(b));
  if (!is_computed(a.dtype()) || a.dtype() != b.dtype() || !(a.device() == b.device()))
    fail("matmul: both inputs must be on one device and of one dtype, f32, f64 or bf16; got {} and {}", describe(a),
         describe(b));
  Shape a_batch = a.shape(), b_batch = b.shape();
  for (Shape* batch : {&a_batch, &b_batch}) (*batch)[batch->rank() - 2] = (*batch)[batch->rank() - 1] = 1;
  Shape sizes = broadcast_shapes(a_batch, b_batch, "matmul");
  sizes[sizes.rank() - 2] = a.size(-2);
  sizes[sizes.rank() - 1] = b.size(-1);

  OpScope scope("matmul", {&a, &b}, 2.0 * static_cast<double>(sizes.numel()) * static_cast<double>(a.size(-1)));
  const Tensor y = empty(sizes, a.dtype(), a.device());
  launch("matmul", y, a, b, false);
  if (auto node = record<MatmulNode>({&a, &b}, a.shape(), b.shape())) {
    if (node->edges()[1].wanted()) node->a.save(a);
    if (node->edges()[0].wanted()) node->b.save(b);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace vigor
