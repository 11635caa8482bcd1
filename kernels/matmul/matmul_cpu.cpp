#include "kernels/matmul/matmul_kernels.h"
#include "kernels/matmul/matmul_products.h"

namespace vigor {

bool is_matrix_layout(const TensorView& x) { return is_row_major(x) || is_column_major(x); }

void matmul_cpu(const TensorView& y, const TensorView& a, const TensorView& b, bool accumulate) {
  matmul_products(
      y, a, b, accumulate, [](auto&&... arguments) { gemm(arguments...); },
      [](auto&&... arguments) { gemm_batched(arguments...); });
}

}  // namespace vigor
