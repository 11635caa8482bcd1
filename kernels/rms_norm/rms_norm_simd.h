#pragma once
#include "tensor/simd.h"

namespace vigor {

// The arrays of some rows.
template <class T, class W>
struct RmsNormForward {
  int64_t rows, columns;
  T* y;         // [rows,C]
  float* rstd;  // [rows]
  const T* x;
  const W* weight;  // [C]
  float eps;
};

template <class T, class W>
struct RmsNormBackward {
  int64_t rows, columns;
  T* dx;           // [rows,C] or null
  float* dweight;  // [C] sum over these rows, overwritten; or null
  const T* dy;
  const T* x;
  const W* weight;
  const float* rstd;
};

VIGOR_PER_ISA(void rms_norm_forward(const RmsNormForward<float, float>& p);
              void rms_norm_forward(const RmsNormForward<bf16, float>& p);
              void rms_norm_forward(const RmsNormForward<bf16, bf16>& p);
              void rms_norm_backward(const RmsNormBackward<float, float>& p);
              void rms_norm_backward(const RmsNormBackward<bf16, float>& p);
              void rms_norm_backward(const RmsNormBackward<bf16, bf16>& p);)

}  // namespace vigor
