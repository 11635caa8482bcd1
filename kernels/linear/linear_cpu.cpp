#include <algorithm>

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

// dbias (+)= column sums of dy [rows,out]. A bf16 gradient is summed in f32, in pieces on the stack, and rounded once.
void bias_gradient(const GradientView& dbias, const TensorView& dy) {
  const int64_t rows = dy.sizes[0], out = dy.sizes[1];
  if (dbias.view.dtype != Dtype::bf16) return column_sum(rows, out, input(dy), output(dbias, out));
  constexpr int64_t kPiece = 512;
  for (int64_t first = 0; first < out; first += kPiece) {
    const int64_t n = std::min(kPiece, out - first);
    float sums[kPiece];
    column_sum(rows, n, GemmInput(dy.as<bf16>() + first, dy.strides[0]), GemmOutput(sums, n));
    bf16* gradient = dbias.view.as<bf16>() + first;
    for (int64_t c = 0; c < n; ++c)
      gradient[c] = bf16(dbias.accumulate ? static_cast<float>(gradient[c]) + sums[c] : sums[c]);
  }
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
  if (dbias.defined()) bias_gradient(dbias, dy);
  if (dweight.defined()) gemm(out, in, rows, input(dy, Transpose::yes), input(x), output(dweight, in));
  if (dx.defined()) gemm(rows, in, out, input(dy), input(weight), output(dx));
}

}  // namespace vigor
