#pragma once
#include "tensor/simd.h"

namespace vigor {

// x: `rows` rows, ld elements apart.
// clang-format off
VIGOR_PER_ISA(
    // largest[i] = the greatest |x| in column i of n, NaN where there is one; sums[i] = the sum of the column.
    void column_extents(const float* x, int64_t rows, int64_t ld, int64_t n, float* largest, float* sums);
    // to[j] = row[columns[j]] for j in 0 .. n-1
    void gather(const float* row, const int32_t* columns, int64_t n, float* to);)
// clang-format on

}  // namespace vigor
