#pragma once
// A batched product cut into calls of gemm() or gemm_batched(), the same for every device.
#include <algorithm>

#include "kernels/gemm/gemm.h"
#include "tensor/strided_loop.h"
#include "tensor/view.h"

namespace vigor {

inline int64_t matrix_rows(const TensorView& x) { return x.sizes[x.rank() - 2]; }
inline int64_t matrix_columns(const TensorView& x) { return x.sizes[x.rank() - 1]; }

// Strides of dimensions of size 1 are never used and say nothing.
inline bool is_row_major(const TensorView& x) {
  return (matrix_columns(x) <= 1 || x.strides[x.rank() - 1] == 1) &&
         (matrix_rows(x) <= 1 || x.strides[x.rank() - 2] >= std::max<int64_t>(matrix_columns(x), 1));
}
inline bool is_column_major(const TensorView& x) {
  return (matrix_rows(x) <= 1 || x.strides[x.rank() - 2] == 1) &&
         (matrix_columns(x) <= 1 || x.strides[x.rank() - 1] >= std::max<int64_t>(matrix_rows(x), 1));
}

inline GemmInput matrix_at(const TensorView& x, int64_t offset) {
  const int64_t rows = matrix_rows(x), columns = matrix_columns(x);
  const void* data = static_cast<const std::byte*>(x.data) + offset * static_cast<int64_t>(size_of(x.dtype));
  if (is_row_major(x)) return {data, x.dtype, rows <= 1 ? columns : x.strides[x.rank() - 2]};
  return {data, x.dtype, columns <= 1 ? rows : x.strides[x.rank() - 1], Transpose::yes};
}

inline Shape without_matrix(Shape sizes) {
  sizes.erase(sizes.rank() - 1);
  sizes.erase(sizes.rank() - 1);
  return sizes;
}

// y (+)= a b by one(m, n, k, a, b, y) and batched(count, m, n, k, a, a_step, b, b_step, y, y_step). The views are as
// for the launchers in matmul_kernels.h.
template <class One, class Batched>
void matmul_products(const TensorView& y, const TensorView& a, const TensorView& b, bool accumulate, One&& one,
                     Batched&& batched) {
  if (y.numel() == 0) return;
  const int64_t m = matrix_rows(y), n = matrix_columns(y), k = matrix_columns(a);
  const StridedLoop<3> batch(without_matrix(y.sizes),
                             {without_matrix(y.strides), without_matrix(a.strides), without_matrix(b.strides)});
  const int64_t count = batch.row_length();
  const int64_t y_step = batch.inner_stride(0), a_step = batch.inner_stride(1), b_step = batch.inner_stride(2);
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const auto at = batch.row_offsets(row);
    const GemmInput first_a = matrix_at(a, at[1]), first_b = matrix_at(b, at[2]);
    const GemmOutput first_y(static_cast<std::byte*>(y.data) + at[0] * static_cast<int64_t>(size_of(y.dtype)), y.dtype,
                             n, accumulate ? Accumulate::yes : Accumulate::no);
    // All matrices of a times one b are one product when a's rows go on evenly from one matrix to the next.
    const bool one_product = count == 1 || (b_step == 0 && y_step == m * n && first_a.transpose == Transpose::no &&
                                            a_step == m * first_a.ld);
    if (one_product) one(count * m, n, k, first_a, first_b, first_y);
    else batched(count, m, n, k, first_a, a_step, first_b, b_step, first_y, y_step);
  }
}

}  // namespace vigor
