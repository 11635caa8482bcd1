#include "kernels/linear_cross_entropy/linear_cross_entropy_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {

// Absolute values compare like the integers that have the same bits, and a NaN is the greatest of them.
void column_extents(const float* x, int64_t rows, int64_t ld, int64_t n, float* largest, float* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * ld;
    for_each_vector(n, [=](int64_t i, auto lanes) {
      const vfloat x_i = load(row + i, lanes);
      const vint value = reinterpret_cast<vint>(abs(x_i));
      const vint before = r == 0 ? vint{} : reinterpret_cast<vint>(load(largest + i, lanes));
      store(largest + i, reinterpret_cast<vfloat>(value > before ? value : before), lanes);
      store(sums + i, r == 0 ? x_i : load(sums + i, lanes) + x_i, lanes);
    });
  }
}

void gather(const float* row, const int32_t* columns, int64_t n, float* to) {
  for (int64_t j = 0; j < n; ++j) to[j] = row[columns[j]];
}

}  // namespace vigor::VIGOR_ISA
