#include "kernels/reduce/reduce.h"

#include <numeric>

#include "autograd/node.h"
#include "kernels/arguments.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/reduce/reduce_kernels.h"
#include "kernels/reduce/sum_to.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct Sizes {
  Shape kept;    // x's sizes with 1 for every named dimension
  Shape result;  // the same, or without the named dimensions
};

Sizes sizes_after(const Tensor& x, const std::vector<int>& dims, bool keepdim, const char* op) {
  bool named[kMaxRank] = {};
  for (int dim : dims) {
    dim = normalize_dim(dim, x.rank(), op);
    check(!named[dim], "{}: dimension {} is named twice", op, dim);
    named[dim] = true;
  }
  Sizes sizes;
  for (int dim = 0; dim < x.rank(); ++dim) {
    sizes.kept.push_back(named[dim] ? 1 : x.shape()[dim]);
    if (keepdim || !named[dim]) sizes.result.push_back(sizes.kept[dim]);
  }
  return sizes;
}

// The result y with the reduced dimensions back at size 1. y may be strided.
TensorView with_reduced_dims(const TensorView& y, const Shape& kept) {
  TensorView view = y;
  view.sizes = kept;
  view.strides = kept;
  int from = y.rank();
  for (int dim = kept.rank() - 1; dim >= 0; --dim) {
    view.strides[dim] = 0;  // never used where the size is 1
    if (kept[dim] == 1) continue;
    do --from;
    while (y.sizes[from] == 1);
    view.strides[dim] = y.strides[from];
  }
  return view;
}

// Where the parts of results leave their totals on CUDA; undefined when each result is computed in one part.
Tensor partial_totals(const TensorView& y, const TensorView& x) {
  const int64_t results = y.numel(), parts = reduce_parts(results, results == 0 ? 0 : x.numel() / results);
  return parts > 1 ? empty({parts, results}, Dtype::f64, x.device) : Tensor();
}

void launch_reduce(const char* op, Reduction r, const TensorView& y, const TensorView& x, double scale) {
  switch (x.device.kind) {
    case DeviceKind::cpu:
      return reduce_cpu(r, y, x, scale);
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) return reduce_cuda(r, y, x, scale, view_or_none(partial_totals(y, x)));
      else unsupported_device(op, x.device);
  }
}

struct SumNode : Node {
  SumNode(const char* name, const char* backward_name, const Shape& x_sizes, const Shape& kept_sizes, double factor)
      : Node(name), backward_op(backward_name), sizes(x_sizes), kept(kept_sizes), scale(factor) {}

  const char* backward_op;
  Shape sizes, kept;
  double scale;

  void backward(Backward& b) override {
    OpScope scope(backward_op, {&b.grad()});
    const Tensor dy = scale == 1 ? b.grad() : mul(b.grad(), scale);
    // One number for many elements: a view with stride 0 and no copy.
    const Tensor dx = dy.with_view(expanded(with_reduced_dims(dy, kept), sizes, name()));
    b.set(0, dx);
    scope.done({&dx});
  }
};

struct MaxNode : Node {
  explicit MaxNode(const Shape& kept_sizes) : Node("max"), kept(kept_sizes) {}

  Shape kept;
  SavedTensor x{this, "x"}, y{this, "y"};

  void backward(Backward& b) override {
    const Tensor& dy = b.grad();
    OpScope scope("max_backward", {&dy, &x.get(), &y.get()});
    const Tensor dx = empty_like(x.get());
    const TensorView dy_view = with_reduced_dims(dy, kept);
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        max_backward_cpu(dx, dy_view, x.get(), with_reduced_dims(y.get(), kept));
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild)
          max_backward_cuda(dx, dy_view, x.get(), with_reduced_dims(y.get(), kept),
                            empty({y.get().numel()}, Dtype::i64, dy.device()));
        else unsupported_device("max_backward", dy.device());
        break;
    }
    b.set(0, dx);
    scope.done({&dx});
  }
};

void require_computed(const Tensor& x, const char* op) {
  if (!is_computed(x.dtype())) fail("{}: x must be f32, f64 or bf16; got {}", op, describe(x));
}

Tensor reduced(const char* op, Reduction r, const Tensor& x, const Sizes& sizes, double scale) {
  const Tensor y = empty(sizes.result, x.dtype(), x.device());
  launch_reduce(op, r, with_reduced_dims(y, sizes.kept), x, scale);
  return y;
}

// y = scale * sum of x, where scale is 1 or one over the number of elements.
Tensor scaled_sum(const char* op, const char* backward_op, const Tensor& x, const Sizes& sizes, double scale) {
  require_computed(x, op);
  OpScope scope(op, {&x}, static_cast<double>(x.numel()));
  const Tensor y = reduced(op, Reduction::sum, x, sizes, scale);
  if (auto node = record<SumNode>({&x}, op, backward_op, x.shape(), sizes.kept, scale)) node->attach({&y});
  scope.done({&y});
  return y;
}

std::vector<int> all_dims(const Tensor& x) {
  std::vector<int> dims(static_cast<size_t>(x.rank()));
  std::iota(dims.begin(), dims.end(), 0);
  return dims;
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return scaled_sum("sum", "sum_backward", x, sizes_after(x, dims, keepdim, "sum"), 1);
}

Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  const Sizes sizes = sizes_after(x, dims, keepdim, "mean");
  double count = 1;
  for (int dim : dims) count *= static_cast<double>(x.size(dim));
  return scaled_sum("mean", "mean_backward", x, sizes, 1 / count);
}

Tensor max(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  require_computed(x, "max");
  const Sizes sizes = sizes_after(x, dims, keepdim, "max");
  if (x.numel() == 0 && sizes.kept.numel() != 0) fail("max: there is no maximum of no elements; got {}", describe(x));
  OpScope scope("max", {&x}, static_cast<double>(x.numel()));
  const Tensor y = reduced("max", Reduction::max, x, sizes, 1);
  if (auto node = record<MaxNode>({&x}, sizes.kept)) {
    node->x.save(x);
    node->y.save(y);
    node->attach({&y});
  }
  scope.done({&y});
  return y;
}

Tensor sum(const Tensor& x) { return sum(x, all_dims(x)); }
Tensor mean(const Tensor& x) { return mean(x, all_dims(x)); }
Tensor max(const Tensor& x) { return max(x, all_dims(x)); }

Tensor sum_to(const Tensor& x, const Shape& sizes) {
  if (x.shape() == sizes) return x;
  Shape kept = sizes;
  while (kept.rank() < x.rank()) kept.insert(0, 1);
  OpScope scope("sum_to", {&x}, static_cast<double>(x.numel()));
  const Tensor y = reduced("sum_to", Reduction::sum, x, {kept, sizes}, 1);
  scope.done({&y});
  return y;
}

}  // namespace vigor
