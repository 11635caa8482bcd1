#include "nn/layer_cache.h"

#include <algorithm>

#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

TensorView row_of(const Tensor& x, int64_t row) { return sliced(x.view(), 0, row, row + 1, 1, "layer cache"); }

}  // namespace

LayerCache LayerCache::clone() const {
  LayerCache result;
  for (const Tensor& tensor : tensors) result.tensors.push_back(vigor::clone(tensor));
  return result;
}

LayerCache LayerCache::select_rows(std::span<const int64_t> rows) const {
  LayerCache result;
  for (const Tensor& tensor : tensors) {
    Shape sizes = tensor.shape();
    sizes[0] = static_cast<int64_t>(rows.size());
    const Tensor selected = empty(sizes, tensor.dtype(), tensor.device());
    for (size_t i = 0; i < rows.size(); ++i) {
      check(rows[i] >= 0 && rows[i] < tensor.size(0), "layer cache: rows must be in 0..{}; got {}", tensor.size(0) - 1,
            rows[i]);
      copy(row_of(selected, static_cast<int64_t>(i)), row_of(tensor, rows[i]));
    }
    result.tensors.push_back(selected);
  }
  return result;
}

void LayerCache::assign_row(int64_t to, const LayerCache& source, int64_t from) {
  check(tensors.size() == source.tensors.size(), "layer cache: rows can only be assigned within one kind of layer");
  for (size_t i = 0; i < tensors.size(); ++i) {
    copy(row_of(tensors[i], to), row_of(source.tensors[i], from));
    tensors[i].storage()->bump_version();
  }
}

size_t LayerCache::nbytes() const {
  size_t nbytes = 0;
  for (const Tensor& tensor : tensors) nbytes += tensor.nbytes();
  return nbytes;
}

TokenPositions::TokenPositions(std::span<const int32_t> offset_values, std::span<const int32_t> length_values,
                               int64_t T, Device device)
    : host_offsets(offset_values.begin(), offset_values.end()),
      host_lengths(length_values.begin(), length_values.end()) {
  check(offset_values.size() == length_values.size() && !offset_values.empty(),
        "token positions: one offset and one length a row; got {} and {}", offset_values.size(), length_values.size());
  const Shape sizes{static_cast<int64_t>(offset_values.size())};
  std::vector<int32_t> end_values;
  for (size_t b = 0; b < offset_values.size(); ++b) {
    check(length_values[b] >= 1 && length_values[b] <= T, "token positions: lengths must be in 1..{}; got {} in row {}",
          T, length_values[b], b);
    check(offset_values[b] >= 0, "token positions: offsets must not be negative; got {} in row {}", offset_values[b],
          b);
    end_values.push_back(offset_values[b] + length_values[b]);
  }
  offsets = to_device(from_values(offset_values, sizes), device);
  lengths = to_device(from_values(length_values, sizes), device);
  ends = to_device(from_values(end_values, sizes), device);
  max_end = *std::max_element(end_values.begin(), end_values.end());
}

}  // namespace vigor
