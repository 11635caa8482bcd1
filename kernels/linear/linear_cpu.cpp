#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_operands.h"

namespace vigor {

void linear_forward_cpu(const TensorView& y, const TensorView& x, const TensorView& weight, const TensorView& bias) {
  gemm(x.sizes[0], weight.sizes[0], x.sizes[1], gemm_input(x), gemm_input(weight, Transpose::yes), gemm_output(y),
       bias.defined() ? GemmEpilogue::bias(bias.data) : GemmEpilogue::none());
}

void linear_gelu_forward_cpu(const TensorView& y, const TensorView& pre, const TensorView& x, const TensorView& weight,
                             const TensorView& bias) {
  gemm(x.sizes[0], weight.sizes[0], x.sizes[1], gemm_input(x), gemm_input(weight, Transpose::yes), gemm_output(y),
       GemmEpilogue::bias_gelu(bias.data, pre.data));
}

void linear_backward_cpu(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                         const TensorView& dy, const TensorView& x, const TensorView& weight) {
  const int64_t rows = dy.sizes[0], out = weight.sizes[0], in = weight.sizes[1];
  if (dbias.defined()) column_sum(rows, out, gemm_input(dy), gemm_output(dbias, out));
  if (dweight.defined()) gemm(out, in, rows, gemm_input(dy, Transpose::yes), gemm_input(x), gemm_output(dweight, in));
  if (dx.defined()) gemm(rows, in, out, gemm_input(dy), gemm_input(weight), gemm_output(dx));
}

}  // namespace vigor
