#pragma once
#include "tensor/simd.h"

namespace vigor {

// The arrays of some rows.
template <class T, class W>
struct LayerNormForward {
  int64_t rows, columns;
  T* y;         // [rows,C]
  float* mean;  // [rows]
  float* rstd;  // [rows]
  const T* x;
  const W* weight;  // [C]
  const W* bias;    // [C]
  float eps;
};

template <class T, class W>
struct LayerNormBackward {
  int64_t rows, columns;
  T* dx;           // [rows,C] or null
  float* dweight;  // [C] sums over these rows, overwritten; both or none null
  float* dbias;
  const T* dy;
  const T* x;
  const W* weight;
  const float* mean;
  const float* rstd;
};

VIGOR_PER_ISA(void layer_norm_forward(const LayerNormForward<float, float>& p);
              void layer_norm_forward(const LayerNormForward<bf16, float>& p);
              void layer_norm_forward(const LayerNormForward<bf16, bf16>& p);
              void layer_norm_backward(const LayerNormBackward<float, float>& p);
              void layer_norm_backward(const LayerNormBackward<bf16, float>& p);
              void layer_norm_backward(const LayerNormBackward<bf16, bf16>& p);)

}  // namespace vigor
