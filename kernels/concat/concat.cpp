#include "kernels/concat/concat.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "autograd/node.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

struct CatNode : Node {
  CatNode(int along, std::vector<int64_t> part_sizes) : Node("cat"), dim(along), sizes(std::move(part_sizes)) {}
  int dim;
  std::vector<int64_t> sizes;  // of the parts, along dim
  void backward(Backward& b) override {
    const Tensor& dy = b.grad();
    OpScope scope("cat_backward", {&dy}, 0, 0);
    int64_t start = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (b.needs(static_cast<int>(i)))
        b.set(static_cast<int>(i), dy.with_view(sliced(dy, dim, start, start + sizes[i], 1, name())));
      start += sizes[i];
    }
    scope.done({});
  }
};

struct SplitNode : Node {
  SplitNode(int along, const Shape& sizes_of_x, std::vector<int64_t> piece_sizes)
      : Node("split"), dim(along), x_sizes(sizes_of_x), sizes(std::move(piece_sizes)) {}
  int dim;
  Shape x_sizes;
  std::vector<int64_t> sizes;  // of the pieces, along dim
  void backward(Backward& b) override {
    OpScope scope("split_backward", {});
    const OutputInfo& like = outputs()[0];
    const Tensor dx = empty(x_sizes, like.dtype, like.device);
    int64_t start = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      const TensorView piece = sliced(dx, dim, start, start + sizes[i], 1, name());
      const Tensor& dy = b.grad(static_cast<int>(i));
      dy.defined() ? copy(piece, dy) : fill(piece, 0);
      start += sizes[i];
    }
    b.set(0, dx);
    scope.done({&dx});
  }
};

}  // namespace

Tensor cat(std::span<const Tensor> parts, int dim) {
  check(!parts.empty(), "cat: at least one tensor is needed");
  const Tensor& first = parts[0];
  dim = normalize_dim(dim, first.rank(), "cat");
  Shape sizes = first.shape();
  sizes[dim] = 0;
  std::vector<int64_t> part_sizes;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Tensor& part = parts[i];
    bool fits = part.rank() == first.rank() && part.dtype() == first.dtype() && part.device() == first.device();
    for (int d = 0; fits && d < first.rank(); ++d) fits = d == dim || part.shape()[d] == first.shape()[d];
    if (!fits)
      fail("cat: tensors must agree in dtype and in every size but that of dimension {}; got {} and {} (number {})",
           dim, describe(first), describe(part), i);
    part_sizes.push_back(part.shape()[dim]);
    sizes[dim] += part.shape()[dim];
  }

  OpScope scope("cat", {&first});
  const Tensor y = empty(sizes, first.dtype(), first.device());
  int64_t start = 0;
  for (const Tensor& part : parts) {
    copy(sliced(y, dim, start, start + part.shape()[dim], 1, "cat"), part);
    start += part.shape()[dim];
  }
  if (auto node = record<CatNode>(parts, dim, std::move(part_sizes))) node->attach({&y});
  scope.done({&y});
  return y;
}

Tensor cat(std::initializer_list<Tensor> parts, int dim) {
  return cat(std::span<const Tensor>(parts.begin(), parts.size()), dim);
}

std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int dim) {
  dim = normalize_dim(dim, x.rank(), "split");
  const bool fits = !sizes.empty() && *std::min_element(sizes.begin(), sizes.end()) >= 0 &&
                    std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) == x.shape()[dim];
  if (!fits)
    fail("split: the sizes must be at least 0 and add up to dimension {} of x; got [{}] for {}", dim,
         fmt::join(sizes, ","), describe(x));
  OpScope scope("split", {&x}, 0, 0);
  std::vector<Tensor> pieces;
  int64_t start = 0;
  for (int64_t size : sizes) {
    pieces.push_back(x.with_view(sliced(x, dim, start, start + size, 1, "split")));
    start += size;
  }
  if (auto node = record<SplitNode>({&x}, dim, x.shape(), sizes)) node->attach(std::span<const Tensor>(pieces));
  scope.done({});
  return pieces;
}

std::vector<Tensor> split(const Tensor& x, int64_t chunk, int dim) {
  check(chunk >= 1, "split: pieces must have at least 1 element along the dimension; got {}", chunk);
  const int64_t size = x.size(dim);
  std::vector<int64_t> sizes;
  for (int64_t start = 0; start < size || sizes.empty(); start += chunk) sizes.push_back(std::min(chunk, size - start));
  return split(x, sizes, dim);
}

}  // namespace vigor
