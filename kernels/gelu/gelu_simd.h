#pragma once
// GELU on vectors, also for the epilogue of the matrix product, and the loops over arrays.
#include "tensor/simd.h"

namespace vigor {

// clang-format off
VIGOR_PER_ISA(
    void gelu_erf_forward(float* y, const float* x, int64_t n);
    void gelu_erf_forward(bf16* y, const bf16* x, int64_t n);
    void gelu_tanh_forward(float* y, const float* x, int64_t n);
    void gelu_tanh_forward(bf16* y, const bf16* x, int64_t n);
    // dx may be dy.
    void gelu_erf_backward(float* dx, const float* dy, const float* x, int64_t n);
    void gelu_erf_backward(bf16* dx, const bf16* dy, const bf16* x, int64_t n);
    void gelu_tanh_backward(float* dx, const float* dy, const float* x, int64_t n);
    void gelu_tanh_backward(bf16* dx, const bf16* dy, const bf16* x, int64_t n);)
// clang-format on

}  // namespace vigor

#if defined(VIGOR_ISA)

namespace vigor::VIGOR_ISA {

// x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2
VIGOR_INLINE vfloat gelu_erf(vfloat x) {
  const vfloat half = 0.5f * x;
  return fma(half, erf(0.70710678f * x), half);
}

// Phi(x) + x phi(x), phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
VIGOR_INLINE vfloat gelu_erf_gradient(vfloat x) {
  const vfloat cdf = fma(erf(0.70710678f * x), 0.5f, 0.5f);
  return fma(0.39894228f * x, exp(-0.5f * x * x), cdf);
}

// x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
VIGOR_INLINE vfloat gelu_tanh(vfloat x) {
  const vfloat half = 0.5f * x;
  return fma(half, tanh(x * fma(x * x, 0.035677408f, 0.79788456f)), half);
}

// (1 + t) / 2 + x (1 - t^2) u' / 2, t = tanh u, u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
VIGOR_INLINE vfloat gelu_tanh_gradient(vfloat x) {
  const vfloat x2 = x * x;
  const vfloat t = tanh(x * fma(x2, 0.035677408f, 0.79788456f));
  const vfloat du = fma(x2, 0.10703222f, 0.79788456f);
  const vfloat slope = 0.5f * x * (1.0f - t * t) * du;
  // Where t is 1 in f32 the slope is 0; x^2 may have overflowed there, and 0 * infinity would be NaN.
  return fma(t, 0.5f, 0.5f) + select(t * t == 1.0f, zero(), slope);
}

}  // namespace vigor::VIGOR_ISA

#endif  // VIGOR_ISA
