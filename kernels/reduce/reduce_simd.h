#pragma once
// The inner loops of reductions over contiguous elements.
#include "tensor/simd.h"

namespace vigor {

enum class Reduction { sum, max };  // a NaN among the elements makes the maximum NaN

// clang-format off
VIGOR_PER_ISA(
    // Of n >= 1 elements.
    double reduce_row(Reduction r, const float* x, int64_t n);
    double reduce_row(Reduction r, const bf16* x, int64_t n);
    // total[c] = total[c] (+ or max) x[i * row_stride + c] over i < rows, for c < columns <= kReduceColumns.
    void reduce_columns(Reduction r, double* total, const float* x, int64_t rows, int64_t row_stride, int64_t columns);
    void reduce_columns(Reduction r, double* total, const bf16* x, int64_t rows, int64_t row_stride, int64_t columns);)
// clang-format on

inline constexpr int64_t kReduceColumns = 128;

}  // namespace vigor
