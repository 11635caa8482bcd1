#include <algorithm>

#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "kernels/gemm/gemm_cuda.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

TensorView rows_of(const TensorView& x, int64_t start, int64_t end) {
  return sliced(x, 0, start, end, 1, "linear_cross_entropy");
}

}  // namespace

void linear_cross_entropy_cuda(const LinearCrossEntropyViews& v) {
  const int64_t N = v.x.sizes[0], d = v.x.sizes[1], V = v.weight.sizes[0];
  const int64_t chunk = v.logits.sizes[0], ld = v.logits.strides[0];
  const Dtype sums = v.losses.dtype, logits_dtype = v.logits.dtype;
  const bool gradients = v.dx.defined() || v.dw.defined() || v.dbias.defined();
  for (int64_t start = 0; start < N; start += chunk) {
    const int64_t tokens = std::min(chunk, N - start);
    const TensorView x = rows_of(v.x, start, start + tokens);
    void* const logits = v.logits.data;  // [tokens,V], then their gradient
    gemm_cuda(tokens, V, d, {x.data, x.dtype, d}, {v.weight.data, v.weight.dtype, d, Transpose::yes},
              {logits, logits_dtype, ld}, GemmCudaEpilogue::add_bias(v.bias.data));
    const TensorView chunk_logits = rows_of(v.logits, 0, tokens);
    cross_entropy_rows_cuda({chunk_logits, rows_of(v.targets, start, start + tokens), v.ignore_index, v.loss_weight,
                             rows_of(v.losses, start, start + tokens), gradients ? chunk_logits : TensorView()});
    const Accumulate accumulate = start > 0 ? Accumulate::yes : Accumulate::no;
    if (v.dx.defined())
      gemm_cuda(tokens, d, V, {logits, logits_dtype, ld}, {v.weight.data, v.weight.dtype, d},
                {rows_of(v.dx, start, start + tokens).data, sums, d});
    const GemmOutput dbias(v.dbias.data, sums, V, accumulate);
    if (v.dw.defined()) {
      const GemmCudaEpilogue epilogue = v.dbias.defined() ? GemmCudaEpilogue::sum_rows_of_a(dbias) : GemmCudaEpilogue();
      gemm_cuda(V, d, tokens, {logits, logits_dtype, ld, Transpose::yes}, {x.data, x.dtype, d},
                {v.dw.data, sums, d, accumulate}, epilogue);
    } else if (v.dbias.defined()) {
      column_sum_cuda(tokens, V, {logits, logits_dtype, ld}, dbias);
    }
  }
}

}  // namespace vigor
