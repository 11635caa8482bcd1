#include "kernels/views/views.h"

#include <numeric>

#include "autograd/node.h"
#include "kernels/reduce/sum_to.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

// The elements under other sizes of the same product; a view where the strides allow it.
Tensor reshaped_or_copied(const Tensor& x, const Shape& sizes) {
  if (const auto view = reshaped(x, sizes)) return x.with_view(*view);
  const Tensor y = clone(x);
  return y.with_view({y.raw(), sizes, contiguous_strides(sizes), y.dtype(), y.device()});
}

Tensor permuted_tensor(const Tensor& x, const std::vector<int>& dims) {
  return x.with_view(permuted(x, dims, "permute"));
}

struct ReshapeNode : Node {
  explicit ReshapeNode(const Shape& x_sizes) : Node("reshape"), sizes(x_sizes) {}
  Shape sizes;
  void backward(Backward& b) override {
    OpScope scope("reshape_backward", {&b.grad()}, 0, 0);
    const Tensor dx = reshaped_or_copied(b.grad(), sizes);
    b.set(0, dx);
    scope.done({&dx});
  }
};

struct PermuteNode : Node {
  explicit PermuteNode(std::vector<int> inverse_dims) : Node("permute"), inverse(std::move(inverse_dims)) {}
  std::vector<int> inverse;
  void backward(Backward& b) override {
    OpScope scope("permute_backward", {&b.grad()}, 0, 0);
    const Tensor dx = permuted_tensor(b.grad(), inverse);
    b.set(0, dx);
    scope.done({&dx});
  }
};

struct SliceNode : Node {
  SliceNode(const Shape& x_sizes, int slice_dim, int64_t first, int64_t last, int64_t slice_step)
      : Node("slice"), sizes(x_sizes), dim(slice_dim), start(first), end(last), step(slice_step) {}
  Shape sizes;
  int dim;
  int64_t start, end, step;
  void backward(Backward& b) override {
    const Tensor& dy = b.grad();
    OpScope scope("slice_backward", {&dy});
    const Tensor dx = zeros(sizes, dy.dtype(), dy.device());
    copy(sliced(dx, dim, start, end, step, name()), dy);
    b.set(0, dx);
    scope.done({&dx});
  }
};

struct ExpandNode : Node {
  explicit ExpandNode(const Shape& x_sizes) : Node("expand"), sizes(x_sizes) {}
  Shape sizes;
  void backward(Backward& b) override { b.set(0, sum_to(b.grad(), sizes)); }
};

struct ContiguousNode : Node {
  ContiguousNode() : Node("contiguous") {}
  void backward(Backward& b) override { b.set(0, b.grad()); }
};

// `sizes` with -1 replaced by what is left for it.
Shape without_wildcard(const Tensor& x, Shape sizes) {
  int wildcard = -1;
  int64_t others = 1;
  for (int dim = 0; dim < sizes.rank(); ++dim) {
    if (sizes[dim] == -1) {
      if (wildcard >= 0) fail("reshape: at most one size may be -1; got {}", to_string(sizes));
      wildcard = dim;
    } else {
      others *= sizes[dim];
    }
  }
  if (wildcard >= 0 && others > 0 && x.numel() % others == 0) sizes[wildcard] = x.numel() / others;
  const int64_t wanted = checked_numel({sizes.begin(), sizes.end()});
  if (wanted != x.numel())
    fail("reshape: the number of elements must stay; got {} for {}", to_string(sizes), describe(x));
  return sizes;
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& wanted) {
  const Shape sizes = without_wildcard(x, wanted);
  OpScope scope("reshape", {&x}, 0, 0);
  const Tensor y = reshaped_or_copied(x, sizes);
  if (auto node = record<ReshapeNode>({&x}, x.shape())) node->attach({&y});
  scope.done({&y});
  return y;
}

Tensor permute(const Tensor& x, const std::vector<int>& dims) {
  OpScope scope("permute", {&x}, 0, 0);
  const Tensor y = permuted_tensor(x, dims);
  std::vector<int> inverse(dims.size());
  for (size_t i = 0; i < dims.size(); ++i)
    inverse[static_cast<size_t>(normalize_dim(dims[i], x.rank(), "permute"))] = static_cast<int>(i);
  if (auto node = record<PermuteNode>({&x}, std::move(inverse))) node->attach({&y});
  scope.done({&y});
  return y;
}

Tensor transpose(const Tensor& x, int dim0, int dim1) {
  std::vector<int> dims(static_cast<size_t>(x.rank()));
  std::iota(dims.begin(), dims.end(), 0);
  std::swap(dims[static_cast<size_t>(normalize_dim(dim0, x.rank(), "transpose"))],
            dims[static_cast<size_t>(normalize_dim(dim1, x.rank(), "transpose"))]);
  return permute(x, dims);
}

Tensor slice(const Tensor& x, int dim, int64_t start, int64_t end, int64_t step) {
  OpScope scope("slice", {&x}, 0, 0);
  const Tensor y = x.with_view(sliced(x, dim, start, end, step, "slice"));
  if (auto node = record<SliceNode>({&x}, x.shape(), dim, start, end, step)) node->attach({&y});
  scope.done({&y});
  return y;
}

Tensor expand(const Tensor& x, const Shape& sizes) {
  OpScope scope("expand", {&x}, 0, 0);
  const Tensor y = x.with_view(expanded(x, sizes, "expand"));
  if (auto node = record<ExpandNode>({&x}, x.shape())) node->attach({&y});
  scope.done({&y});
  return y;
}

Tensor contiguous(const Tensor& x) {
  if (x.is_contiguous()) return x;
  OpScope scope("contiguous", {&x});
  const Tensor y = clone(x);
  if (auto node = record<ContiguousNode>({&x})) node->attach({&y});
  scope.done({&y});
  return y;
}

}  // namespace vigor
