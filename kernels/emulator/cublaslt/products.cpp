#include "kernels/emulator/cublaslt/products.h"

#include <algorithm>

namespace vigor::emulator {
namespace {

// A tile of the result: kRows x kColumns sums in vector registers. 64 bytes of rows are one AVX-512 or two AVX2
// registers; six columns are as many as AVX2's sixteen registers hold.
constexpr int64_t kColumns = 6;
template <typename T>
constexpr int64_t kRows = 64 / static_cast<int64_t>(sizeof(T));

#if defined(__x86_64__)
#define VIGOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define VIGOR_EACH_PROCESSOR
#endif

// out[kColumns][kRows] = sum over k of a[k][kRows] * b[k][kColumns]
template <typename T>
[[gnu::always_inline]] inline void multiply_tile(int64_t k, const T* a, const T* b, T* out) {
  using Vector [[gnu::vector_size(64)]] = T;
  Vector sums[kColumns] = {};
  for (int64_t i = 0; i < k; ++i) {
    Vector rows;
    std::memcpy(&rows, a + i * kRows<T>, sizeof rows);
    for (int64_t column = 0; column < kColumns; ++column) sums[column] += rows * b[i * kColumns + column];
  }
  std::memcpy(out, sums, sizeof sums);
}

VIGOR_EACH_PROCESSOR void tile(int64_t k, const float* a, const float* b, float* out) { multiply_tile(k, a, b, out); }
VIGOR_EACH_PROCESSOR void tile(int64_t k, const double* a, const double* b, double* out) {
  multiply_tile(k, a, b, out);
}

// Panels of `width` lines: [panel][k][width], the last one filled up with zeros. `along` runs over the lines.
template <typename T>
std::vector<T> pack(const MatrixView& m, int64_t width, bool lines_are_rows) {
  const int64_t lines = lines_are_rows ? m.rows : m.columns, depth = lines_are_rows ? m.columns : m.rows;
  const int64_t panels = (lines + width - 1) / width;
  std::vector<T> packed(static_cast<size_t>(panels * depth * width));
  const auto value = [&](int64_t line, int64_t k) { return lines_are_rows ? m.at<T>(line, k) : m.at<T>(k, line); };
  for (int64_t panel = 0; panel < panels; ++panel) {
    T* begin = packed.data() + panel * depth * width;
    const int64_t used = std::min(width, lines - panel * width);
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t line = 0; line < used; ++line) begin[k * width + line] = value(panel * width + line, k);
    }
  }
  return packed;
}

}  // namespace

template <typename T>
std::vector<T> multiply(const MatrixView& a, const MatrixView& b) {
  const int64_t m = a.rows, n = b.columns, k = a.columns;
  const std::vector<T> rows = pack<T>(a, kRows<T>, true), columns = pack<T>(b, kColumns, false);
  std::vector<T> result(static_cast<size_t>(m * n));
  alignas(64) T sums[kColumns * kRows<T>];
  // A panel of columns stays in the cache while all rows pass by.
  for (int64_t column = 0; column < n; column += kColumns) {
    for (int64_t row = 0; row < m; row += kRows<T>) {
      tile(k, rows.data() + row * k, columns.data() + column * k, sums);
      const int64_t height = std::min(kRows<T>, m - row), width = std::min(kColumns, n - column);
      for (int64_t j = 0; j < width; ++j) {
        std::copy_n(sums + j * kRows<T>, height, result.data() + (column + j) * m + row);
      }
    }
  }
  return result;
}

template std::vector<float> multiply<float>(const MatrixView&, const MatrixView&);
template std::vector<double> multiply<double>(const MatrixView&, const MatrixView&);

}  // namespace vigor::emulator
