#include "kernels/gemm/gemm.h"
#include "kernels/linear/linear_kernels.h"

namespace vigor {
namespace {

GemmInput input(const TensorView& x, Transpose transpose = Transpose::no) {
  return {x.data, x.dtype, x.strides[0], transpose};
}
GemmOutput output(const TensorView& y) { return {y.data, y.dtype, y.strides[0]}; }
GemmOutput output(const GradientView& g, int64_t row_stride) {
  return {g.view.data, g.view.dtype, row_stride, g.accumulate ? Accumulate::yes : Accumulate::no};
}

}  // namespace

void linear_forward_cpu(const TensorView& y, const TensorView& x, const TensorView& weight, const TensorView& bias) {
  gemm(x.sizes[0], weight.sizes[0], x.sizes[1], input(x), input(weight, Transpose::yes), output(y),
       bias.defined() ? GemmEpilogue::bias(bias.data) : GemmEpilogue::none());
}

void linear_gelu_forward_cpu(const TensorView& y, const TensorView& pre, const TensorView& x, const TensorView& weight,
                             const TensorView& bias) {
  gemm(x.sizes[0], weight.sizes[0], x.sizes[1], input(x), input(weight, Transpose::yes), output(y),
       GemmEpilogue::bias_gelu(bias.data, pre.data));
}

void linear_backward_cpu(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                         const TensorView& dy, const TensorView& x, const TensorView& weight) {
  const int64_t rows = dy.sizes[0], out = weight.sizes[0], in = weight.sizes[1];
  if (dbias.defined()) column_sum(rows, out, input(dy), output(dbias, out));
  if (dweight.defined()) gemm(out, in, rows, input(dy, Transpose::yes), input(x), output(dweight, in));
  if (dx.defined()) gemm(rows, in, out, input(dy), input(weight), output(dx));
}

}  // namespace vigor
