#pragma once
#include "tensor/simd.h"

namespace vigor {

// The arrays of some rows. `columns` are those of a group; a row has groups * columns elements.
template <class T, class W>
struct GatedRmsNormRows {
  int64_t rows, groups, columns;
  bool norm_before_gate;
  float gate_multiplier;
  const T* x;
  const T* gate;
  int64_t x_stride, gate_stride;  // between rows
  const W* weight;                // [groups,columns]
};

template <class T>
struct GatedRmsNormResults {
  T* y;         // [rows,groups,columns]
  float* rstd;  // [rows,groups]
  float eps;
};

template <class T>
struct GatedRmsNormRowGradients {
  const T* dy;
  int64_t dy_stride;  // between rows
  const float* rstd;  // [rows,groups]
  T* dx;              // [rows,groups,columns] or null
  T* dgate;           // [rows,groups,columns] or null
  float* dweight;     // [groups,columns] sum over these rows, overwritten; or null
};

#define VIGOR_GATED_RMS_NORM(T, W)                                                                  \
  void gated_rms_norm_forward(const GatedRmsNormRows<T, W>& in, const GatedRmsNormResults<T>& out); \
  void gated_rms_norm_backward(const GatedRmsNormRows<T, W>& in, const GatedRmsNormRowGradients<T>& grads);
VIGOR_PER_ISA(VIGOR_GATED_RMS_NORM(float, float) VIGOR_GATED_RMS_NORM(bf16, float) VIGOR_GATED_RMS_NORM(bf16, bf16))
#undef VIGOR_GATED_RMS_NORM

}  // namespace vigor
