#pragma once
// What operations that walk time ask about their arguments: shapes, `lengths`, `resets`, and inputs that are slices.
#include <vector>

#include "kernels/arguments.h"

namespace vigor {

// x itself when the elements of its last dimension are neighbours (a slice of a fused projection), else a contiguous
// copy without gradient history. Undefined stays undefined.
inline Tensor unit_stride_values(const Tensor& x) {
  return !x.defined() || x.size(-1) == 1 || x.strides()[x.rank() - 1] == 1 ? x : clone(x);
}

// "op: name must be letters=[..] dtype on device; got .. (x is ..)" unless `tensor` is that; the device only where it
// can be what is wrong.
inline void expect_tensor(const char* op, const char* name, const char* letters, const Tensor& tensor,
                          const Shape& shape, Dtype dtype, const Tensor& x) {
  if (tensor.defined() && tensor.shape() == shape && tensor.dtype() == dtype && tensor.device() == x.device()) return;
  if (!tensor.defined())
    fail("{}: {} must be {}={} {}; got an undefined tensor (x is {})", op, name, letters, to_string(shape),
         name_of(dtype), describe(x));
  fail("{}: {} must be {}={} {} on {}; got {} (x is {})", op, name, letters, to_string(shape), name_of(dtype),
       to_string(x.device()), describe(tensor), describe(x));
}

// The dtype of recurrence parameters and states beside x: f32 beside f32 and bf16, f64 beside f64. Throws when x has
// another dtype, or f64 on CUDA.
inline Dtype recurrence_dtype(const char* op, const char* name, const Tensor& x) {
  if (!x.device().is_cpu() && x.dtype() == Dtype::f64)
    fail("{}: on CUDA {} must be f32 or bf16; got {}", op, name, describe(x));
  return visit_float(x.dtype(), op, []<class X>() { return dtype_of<Accumulator<X>>; });
}

// That dtype; also throws when x is not [B,T,C] with elements.
inline Dtype check_sequences(const char* op, const char* name, const Tensor& x) {
  if (!x.defined()) fail("{}: {} must be [B,T,C]; got an undefined tensor", op, name);
  if (x.rank() != 3 || x.numel() == 0) fail("{}: {} must be [B,T,C], none of them 0; got {}", op, name, describe(x));
  return recurrence_dtype(op, name, x);
}

// lengths [B] i32 in 0 .. T and resets [B,T] u8 for x [B,T,C]; both may be undefined.
inline void check_lengths_and_resets(const char* op, const Tensor& lengths, const Tensor& resets, const Tensor& x) {
  const int64_t B = x.size(0), T = x.size(1);
  if (resets.defined()) expect_tensor(op, "resets", "[B,T]", resets, {B, T}, Dtype::u8, x);
  if (!lengths.defined()) return;
  expect_tensor(op, "lengths", "[B]", lengths, {B}, Dtype::i32, x);
  if (!x.device().is_cpu()) return;  // reading them would wait for the GPU; kernels take the nearest of 0 .. T
  const std::vector<int32_t> values = lengths.to_vector<int32_t>();
  for (size_t b = 0; b < values.size(); ++b)
    check(values[b] >= 0 && values[b] <= T, "{}: lengths must be in 0 .. T={}; lengths[{}] is {}", op, T, b, values[b]);
}

}  // namespace vigor
