#include "kernels/gelu/gelu_kernels.h"
#include "kernels/gemm/gemm_cuda.h"
#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_operands.h"

namespace vigor {

void linear_forward_cuda(const TensorView& y, const TensorView& x, const TensorView& weight, const TensorView& bias) {
  gemm_cuda(x.sizes[0], weight.sizes[0], x.sizes[1], gemm_input(x), gemm_input(weight, Transpose::yes), gemm_output(y),
            GemmCudaEpilogue::add_bias(bias.data));
}

void linear_gelu_forward_cuda(const TensorView& y, const TensorView& pre, const TensorView& x, const TensorView& weight,
                              const TensorView& bias) {
  linear_forward_cuda(pre, x, weight, bias);
  // The library's own epilogue is the tanh form; this pass reads and writes one element each.
  if (y.numel() > 0) gelu_forward_cuda(y, pre, GeluKind::erf);
}

void linear_backward_cuda(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                          const TensorView& dy, const TensorView& x, const TensorView& weight) {
  const int64_t rows = dy.sizes[0], out = weight.sizes[0], in = weight.sizes[1];
  if (dweight.defined()) {
    GemmCudaEpilogue epilogue;
    if (dbias.defined()) epilogue = GemmCudaEpilogue::sum_rows_of_a(gemm_output(dbias, out));
    gemm_cuda(out, in, rows, gemm_input(dy, Transpose::yes), gemm_input(x), gemm_output(dweight, in), epilogue);
  } else if (dbias.defined()) {
    column_sum_cuda(rows, out, gemm_input(dy), gemm_output(dbias, out));
  }
  if (dx.defined()) gemm_cuda(rows, in, out, gemm_input(dy), gemm_input(weight), gemm_output(dx));
}

}  // namespace vigor
