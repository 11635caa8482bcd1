#include <algorithm>

#include "kernels/gemm/gemm.h"
#include "kernels/matmul/matmul_kernels.h"
#include "tensor/strided_loop.h"

namespace vigor {
namespace {

int64_t rows(const TensorView& x) { return x.sizes[x.rank() - 2]; }
int64_t columns(const TensorView& x) { return x.sizes[x.rank() - 1]; }
int64_t row_stride(const TensorView& x) { return x.strides[x.rank() - 2]; }
int64_t column_stride(const TensorView& x) { return x.strides[x.rank() - 1]; }

// Strides of dimensions of size 1 are never used and say nothing.
bool is_row_major(const TensorView& x) {
  return (columns(x) <= 1 || column_stride(x) == 1) &&
         (rows(x) <= 1 || row_stride(x) >= std::max<int64_t>(columns(x), 1));
}
bool is_column_major(const TensorView& x) {
  return (rows(x) <= 1 || row_stride(x) == 1) && (columns(x) <= 1 || column_stride(x) >= std::max<int64_t>(rows(x), 1));
}

GemmInput matrix_at(const TensorView& x, int64_t offset) {
  const void* data = static_cast<const std::byte*>(x.data) + offset * static_cast<int64_t>(size_of(x.dtype));
  if (is_row_major(x)) return {data, x.dtype, rows(x) <= 1 ? columns(x) : row_stride(x)};
  return {data, x.dtype, columns(x) <= 1 ? rows(x) : column_stride(x), Transpose::yes};
}

Shape without_matrix(Shape sizes) {
  sizes.erase(sizes.rank() - 1);
  sizes.erase(sizes.rank() - 1);
  return sizes;
}

}  // namespace

bool is_matrix_layout(const TensorView& x) { return is_row_major(x) || is_column_major(x); }

void matmul_cpu(const TensorView& y, const TensorView& a, const TensorView& b, bool accumulate) {
  if (y.numel() == 0) return;
  const int64_t m = rows(y), n = columns(y), k = columns(a);
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
    if (one_product) gemm(count * m, n, k, first_a, first_b, first_y);
    else gemm_batched(count, m, n, k, first_a, a_step, first_b, b_step, first_y, y_step);
  }
}

}  // namespace vigor
