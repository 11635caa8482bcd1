#include "kernels/gemm/gemm_cuda.h"
#include "kernels/matmul/matmul_kernels.h"
#include "kernels/matmul/matmul_products.h"

namespace vigor {

void matmul_cuda(const TensorView& y, const TensorView& a, const TensorView& b, bool accumulate) {
  matmul_products(
      y, a, b, accumulate, [](auto&&... arguments) { gemm_cuda(arguments...); },
      [](auto&&... arguments) { gemm_batched_cuda(arguments...); });
}

}  // namespace vigor
