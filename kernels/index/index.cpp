#include "kernels/index/index.h"

#include "autograd/node.h"
#include "kernels/index/index_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

// The ids of index_select, [n], in the sizes of the result.
TensorView ids_along(const Tensor& ids, const Shape& sizes, int dim) {
  TensorView view = ids;
  view.sizes = sizes;
  view.strides = sizes;
  for (int d = 0; d < sizes.rank(); ++d) view.strides[d] = d == dim ? ids.strides()[0] : 0;
  return view;
}

struct GatherNode : Node {
  GatherNode(const char* name, const char* backward_name, const Shape& sizes_of_x, int along)
      : Node(name), backward_op(backward_name), x_sizes(sizes_of_x), dim(along) {}
  const char* backward_op;
  Shape x_sizes;
  int dim;
  SavedTensor ids{this, "ids"};  // of x's rank, or [n]

  void backward(Backward& b) override {
    const Tensor& dy = b.grad();
    OpScope scope(backward_op, {&dy, &ids.get()}, static_cast<double>(dy.numel()));
    const bool is_bf16 = dy.dtype() == Dtype::bf16;
    Tensor dx = zeros(x_sizes, is_bf16 ? Dtype::f32 : dy.dtype(), dy.device());
    const bool is_gather = ids.get().rank() == dy.rank();  // in one dimension both are the same
    const TensorView id_view = is_gather ? ids.get().view() : ids_along(ids.get(), dy.shape(), dim);
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        gather_backward_cpu(dx, dy, dim, id_view);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) gather_backward_cuda(dx, dy, dim, id_view);
        else unsupported_device(backward_op, dy.device());
        break;
    }
    if (is_bf16) {  // summed in f32, rounded once
      const Tensor rounded = empty(x_sizes, Dtype::bf16, dy.device());
      copy(rounded, dx);
      dx = rounded;
    }
    b.set(0, dx);
    scope.done({&dx});
  }
};

void require_ids(const char* op, const Tensor& x, int dim, const Tensor& ids) {
  if (ids.dtype() != Dtype::i32 && ids.dtype() != Dtype::i64)
    fail("{}: ids must be i32 or i64; got {}", op, describe(ids));
  if (ids.device() != x.device())
    fail("{}: ids must be on the device of x; got {} for {}", op, describe(ids), describe(x));
  if (!ids.device().is_cpu()) return;
  const int64_t at = first_out_of_range_cpu(ids, x.shape()[dim]);
  if (at >= 0)
    fail("{}: ids must be in [0, {}), the size of dimension {} of x {}; got {} at position {} of ids {}", op,
         x.shape()[dim], dim, describe(x), ids.to_vector<int64_t>()[static_cast<size_t>(at)], at,
         to_string(ids.shape()));
}

// `id_view` has the sizes of the result; `ids` is what backward keeps.
Tensor picked(const char* op, const char* backward_op, const Tensor& x, int dim, const Tensor& ids,
              const TensorView& id_view) {
  const double picked_bytes = static_cast<double>(id_view.sizes.numel()) * static_cast<double>(size_of(x.dtype()));
  OpScope scope(op, {&x, &ids}, 0, 2 * picked_bytes + static_cast<double>(ids.nbytes()));  // not all of x
  const Tensor y = empty(id_view.sizes, x.dtype(), x.device());
  switch (x.device().kind) {
    case DeviceKind::cpu:
      gather_cpu(y, x, dim, id_view);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) gather_cuda(y, x, dim, id_view);
      else unsupported_device(op, x.device());
      break;
  }
  if (auto node = record<GatherNode>({&x}, op, backward_op, x.shape(), dim)) {
    node->ids.save(ids);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

}  // namespace

Tensor index_select(const Tensor& x, int dim, const Tensor& ids) {
  dim = normalize_dim(dim, x.rank(), "index_select");
  if (ids.rank() != 1) fail("index_select: ids must have one dimension; got {}", describe(ids));
  require_ids("index_select", x, dim, ids);
  Shape sizes = x.shape();
  sizes[dim] = ids.shape()[0];
  return picked("index_select", "index_select_backward", x, dim, ids, ids_along(ids, sizes, dim));
}

Tensor gather(const Tensor& x, int dim, const Tensor& ids) {
  dim = normalize_dim(dim, x.rank(), "gather");
  bool fits = ids.rank() == x.rank();
  for (int d = 0; fits && d < x.rank(); ++d) fits = d == dim || ids.shape()[d] <= x.shape()[d];
  if (!fits)
    fail("gather: ids must have the rank of x and at most its sizes elsewhere than in dimension {}; got {} for {}", dim,
         describe(ids), describe(x));
  require_ids("gather", x, dim, ids);
  return picked("gather", "gather_backward", x, dim, ids, ids);
}

}  // namespace vigor
