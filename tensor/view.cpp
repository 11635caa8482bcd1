#include "tensor/view.h"

#include <algorithm>

#include "tensor/check.h"

namespace vigor {

TensorView permuted(const TensorView& x, std::span<const int> dims, const char* op) {
  check(static_cast<int>(dims.size()) == x.rank(), "{}: {} dimensions were named for a tensor of rank {}", op,
        dims.size(), x.rank());
  TensorView y = x;
  std::array<bool, kMaxRank> seen{};
  for (int i = 0; i < x.rank(); ++i) {
    const int dim = normalize_dim(dims[static_cast<size_t>(i)], x.rank(), op);
    check(!seen[static_cast<size_t>(dim)], "{}: dimension {} is named twice", op, dim);
    seen[static_cast<size_t>(dim)] = true;
    y.sizes[i] = x.sizes[dim];
    y.strides[i] = x.strides[dim];
  }
  return y;
}

TensorView sliced(const TensorView& x, int dim, int64_t start, int64_t end, int64_t step, const char* op) {
  dim = normalize_dim(dim, x.rank(), op);
  const int64_t size = x.sizes[dim];
  check(step >= 1, "{}: step must be at least 1; got {}", op, step);
  if (start < 0) start += size;
  if (end < 0) end += size;
  start = std::clamp<int64_t>(start, 0, size);
  end = std::clamp<int64_t>(end, start, size);
  TensorView y = x;
  y.data = static_cast<std::byte*>(x.data) + static_cast<int64_t>(size_of(x.dtype)) * start * x.strides[dim];
  y.sizes[dim] = (end - start + step - 1) / step;
  y.strides[dim] = x.strides[dim] * step;
  return y;
}

TensorView expanded(const TensorView& x, const Shape& sizes, const char* op) {
  const int added = sizes.rank() - x.rank();
  if (added < 0) fail("{}: cannot expand {} to the lower rank {}", op, to_string(x.sizes), to_string(sizes));
  TensorView y = x;
  y.sizes = sizes;
  y.strides = Strides();
  for (int dim = 0; dim < sizes.rank(); ++dim) {
    const int from = dim - added;
    const int64_t size = from < 0 ? 1 : x.sizes[from];
    if (size != sizes[dim] && size != 1)
      fail("{}: only sizes of 1 can be expanded; got {} for {}", op, to_string(x.sizes), to_string(sizes));
    y.strides.push_back(from < 0 || (size == 1 && sizes[dim] != 1) ? 0 : x.strides[from]);
  }
  return y;
}

std::optional<TensorView> reshaped(const TensorView& x, const Shape& sizes) {
  if (sizes.numel() != x.numel()) return std::nullopt;
  TensorView y = x;
  y.sizes = sizes;
  if (x.is_contiguous()) {
    y.strides = contiguous_strides(sizes);
    return y;
  }
  if (x.numel() == 0) return std::nullopt;
  // Walk both shapes from the right in groups of equal element count; inside a group x must be contiguous.
  y.strides = sizes;
  int from = x.rank() - 1;
  int to = sizes.rank() - 1;
  while (to >= 0) {
    if (sizes[to] == 1) {
      y.strides[to--] = 1;
      continue;
    }
    while (from >= 0 && x.sizes[from] == 1) --from;
    int64_t have = x.sizes[from];
    const int64_t inner = x.strides[from];
    int64_t taken = 1;
    while (to >= 0 && (taken < have || sizes[to] == 1)) {
      y.strides[to] = inner * taken;
      taken *= sizes[to--];
      while (taken > have) {  // the group spans several dimensions of x: they must join without a gap
        const int64_t span = x.strides[from] * x.sizes[from];
        do {
          --from;
        } while (from >= 0 && x.sizes[from] == 1);
        if (from < 0 || x.strides[from] != span) return std::nullopt;
        have *= x.sizes[from];
      }
    }
    if (taken != have) return std::nullopt;
    --from;
  }
  return y;
}

}  // namespace vigor
