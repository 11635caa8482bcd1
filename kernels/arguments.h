#pragma once
// What the operations ask about their arguments.
#include "autograd/node.h"
#include "kernels/gradient_view.h"
#include "tensor/primitives.h"
#include "tensor/tensor.h"

namespace vigor {

// The dtypes that operations compute with; f16 is for storage only.
inline bool is_computed(Dtype dtype) { return dtype == Dtype::f32 || dtype == Dtype::f64 || dtype == Dtype::bf16; }

// A parameter beside activations x has their dtype; norm weights may also stay f32 beside bf16.
inline bool fits_beside(const Tensor& parameter, const Tensor& x) {
  return parameter.dtype() == x.dtype() || (x.dtype() == Dtype::bf16 && parameter.dtype() == Dtype::f32);
}

// For kernels that want plain arrays: x itself when it is contiguous, else a contiguous copy without gradient history.
// Undefined stays undefined.
inline Tensor contiguous_values(const Tensor& x) { return !x.defined() || x.is_contiguous() ? x : clone(x); }

// A bias as a product adds it: contiguous and in the dtype of the result, which an f32 one beside bf16 is rounded to.
inline Tensor bias_in(const Tensor& bias, Dtype dtype) {
  if (!bias.defined() || bias.dtype() == dtype) return contiguous_values(bias);
  const Tensor rounded = empty(bias.shape(), dtype, bias.device());
  copy(rounded, bias);
  return rounded;
}

// x [..,C] as the matrix [rows,C] of a matrix product: rows contiguous and at least C apart. The same memory where the
// strides allow it (a slice of a fused projection too), else a copy; without gradient history.
inline Tensor as_matrix(const Tensor& x) {
  const int64_t columns = x.size(-1);
  const Shape sizes{columns == 0 ? 0 : x.numel() / columns, columns};
  if (x.is_contiguous()) return x.with_view({x.raw(), sizes, contiguous_strides(sizes), x.dtype(), x.device()});
  const auto rows = reshaped(x, sizes);
  if (rows && rows->strides[1] == 1 && rows->strides[0] >= columns) return x.with_view(*rows);
  return as_matrix(clone(x));
}

// The view that a launcher takes for "not wanted" or "not given" when x is undefined.
inline TensorView view_or_none(const Tensor& x) { return x.defined() ? x.view() : TensorView(); }

// The target of input `input` when its gradient is wanted, else an undefined one that set_gradient() ignores.
inline Backward::Target wanted_target(Backward& b, int input, const Shape& sizes, Dtype dtype, Device device) {
  return b.needs(input) ? b.target(input, sizes, dtype, device) : Backward::Target();
}
inline GradientView gradient_view(const Backward::Target& target) {
  return {view_or_none(target.tensor), target.accumulate};
}
inline void set_gradient(Backward& b, int input, const Backward::Target& target) {
  if (target.tensor.defined()) b.set(input, target);
}

}  // namespace vigor
