#pragma once
// The functions of the table's formulas, for numbers in a CUDA kernel, and the choice of a row at run time.
#include "kernels/elementwise/elementwise_table.h"

namespace vigor::device {

__device__ inline float exp(float x) { return ::expf(x); }
__device__ inline float log(float x) { return ::logf(x); }
__device__ inline float sqrt(float x) { return ::sqrtf(x); }
__device__ inline float tanh(float x) { return ::tanhf(x); }
__device__ inline float sigmoid(float x) {
  const float e = ::expf(-::fabsf(x));  // of the negative magnitude: never overflows
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}
__device__ inline float softplus(float x) { return ::fmaxf(x, 0.0f) + ::log1pf(::expf(-::fabsf(x))); }
// A NaN in the second argument gets through, as in tensor/simd.h.
__device__ inline float min(float limit, float x) { return limit < x ? limit : x; }
__device__ inline float max(float limit, float x) { return limit > x ? limit : x; }
__device__ inline float within(float x, float s, float t) { return x >= s && x <= t ? 1.0f : 0.0f; }

}  // namespace vigor::device
