#pragma once
// Views as operands of a matrix product.
#include "kernels/gemm/gemm.h"
#include "kernels/gradient_view.h"

namespace vigor {

inline GemmInput gemm_input(const TensorView& x, Transpose transpose = Transpose::no) {
  return {x.data, x.dtype, x.strides[0], transpose};
}
inline GemmOutput gemm_output(const TensorView& y) { return {y.data, y.dtype, y.strides[0]}; }
inline GemmOutput gemm_output(const GradientView& g, int64_t row_stride) {
  return {g.view.data, g.view.dtype, row_stride, g.accumulate ? Accumulate::yes : Accumulate::no};
}

}  // namespace vigor
