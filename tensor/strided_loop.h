#pragma once
// Walks N operands of one shape with different strides together, as few long inner rows: neighbouring dimensions that
// every operand steps through evenly are joined, so contiguous operands become one single row.
#include <array>
#include <cstdint>

#include "tensor/shape.h"

namespace vigor {

template <int N>
struct StridedLoop {
  Shape sizes;                     // after joining; rank >= 1
  std::array<Strides, N> strides;  // of each operand, in elements

  StridedLoop(const Shape& shape, const std::array<Strides, N>& operand_strides) {
    for (int dim = 0; dim < shape.rank(); ++dim) {
      if (shape[dim] == 1) continue;
      const int last = sizes.rank() - 1;
      bool joins = last >= 0;
      for (int n = 0; joins && n < N; ++n) joins = strides[n][last] == operand_strides[n][dim] * shape[dim];
      if (joins) {
        sizes[last] *= shape[dim];
        for (int n = 0; n < N; ++n) strides[n][last] = operand_strides[n][dim];
      } else {
        sizes.push_back(shape[dim]);
        for (int n = 0; n < N; ++n) strides[n].push_back(operand_strides[n][dim]);
      }
    }
    if (sizes.rank() == 0) {
      sizes.push_back(1);
      for (int n = 0; n < N; ++n) strides[n].push_back(0);
    }
  }

  int64_t row_length() const { return sizes.back(); }
  int64_t rows() const {
    int64_t n = 1;
    for (int dim = 0; dim + 1 < sizes.rank(); ++dim) n *= sizes[dim];
    return n;
  }
  int64_t inner_stride(int operand) const { return strides[operand].back(); }
  // Element offset of each operand at the start of a row.
  std::array<int64_t, N> row_offsets(int64_t row) const {
    std::array<int64_t, N> offsets{};
    for (int dim = sizes.rank() - 2; dim >= 0; --dim) {
      const int64_t index = row % sizes[dim];
      row /= sizes[dim];
      for (int n = 0; n < N; ++n) offsets[n] += index * strides[n][dim];
    }
    return offsets;
  }
};

// The dimension along which operand 1 is contiguous when it is not the last one of the loop, as it is for operand 0;
// otherwise -1. A copy between the two transposes matrices of these two dimensions.
inline int transposed_dim(const StridedLoop<2>& loop) {
  if (loop.inner_stride(0) != 1 || loop.inner_stride(1) == 1) return -1;
  for (int dim = loop.sizes.rank() - 2; dim >= 0; --dim)
    if (loop.strides[1][dim] == 1) return dim;
  return -1;
}

}  // namespace vigor
