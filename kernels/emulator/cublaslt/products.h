#pragma once
// The product itself: plain blocked loops on a CPU.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/emulator/cublaslt/elements.h"

namespace vigor::emulator {

// A matrix of any element type in memory, its transposition already in the strides.
struct MatrixView {
  const std::byte* data;
  cudaDataType type;
  int64_t rows, columns;
  int64_t row_stride, column_stride;  // in elements

  template <typename T>
  T at(int64_t row, int64_t column) const {
    const auto offset = static_cast<size_t>(row * row_stride + column * column_stride);
    return load<T>(type, data + offset * element_bytes(type));
  }
};

// a [m,k] times b [k,n], as [n][m] (column-major). Every sum is one chain of T in the order of k; a product and its sum
// are rounded once where the processor can. T is float or double.
template <typename T>
std::vector<T> multiply(const MatrixView& a, const MatrixView& b);

}  // namespace vigor::emulator
