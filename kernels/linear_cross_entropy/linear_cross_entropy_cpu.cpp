#include <algorithm>

#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "kernels/gemm/gemm.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

TensorView rows_of(const TensorView& x, int64_t start, int64_t end) {
  return sliced(x, 0, start, end, 1, "linear_cross_entropy");
}

}  // namespace

void linear_cross_entropy_cpu(const LinearCrossEntropyViews& v) {
  const int64_t N = v.x.sizes[0], d = v.x.sizes[1], V = v.weight.sizes[0], chunk = v.logits.sizes[0];
  const Dtype weight_dtype = v.weight.dtype, dtype = v.logits.dtype;
  const bool gradients = v.dx.defined() || v.dw.defined() || v.dbias.defined();
  const GemmEpilogue epilogue = v.bias.defined() ? GemmEpilogue::bias(v.bias.data) : GemmEpilogue::none();
  for (int64_t start = 0; start < N; start += chunk) {
    const int64_t tokens = std::min(chunk, N - start);
    const TensorView x = rows_of(v.x, start, start + tokens);
    const TensorView logits = rows_of(v.logits, 0, tokens);  // [tokens,V]
    gemm(tokens, V, d, {x.data, x.dtype, d}, {v.weight.data, weight_dtype, d, Transpose::yes}, {logits.data, dtype, V},
         epilogue);
    cross_entropy_rows_cpu({logits, rows_of(v.targets, start, start + tokens), v.ignore_index, v.loss_weight,
                            rows_of(v.losses, start, start + tokens), gradients ? logits : TensorView()});
    const TensorView& dlogits = logits;
    const Accumulate accumulate = start > 0 ? Accumulate::yes : Accumulate::no;
    if (v.dx.defined())
      gemm(tokens, d, V, {dlogits.data, dtype, V}, {v.weight.data, weight_dtype, d},
           {rows_of(v.dx, start, start + tokens).data, dtype, d});
    if (v.dw.defined())
      gemm(V, d, tokens, {dlogits.data, dtype, V, Transpose::yes}, {x.data, x.dtype, d},
           {v.dw.data, dtype, d, accumulate});
    if (v.dbias.defined()) column_sum(tokens, V, {dlogits.data, dtype, V}, {v.dbias.data, dtype, V, accumulate});
  }
}

}  // namespace vigor
