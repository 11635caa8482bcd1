#pragma once
// GELU of one number in a CUDA kernel, also for kernels that finish a matrix product.
namespace vigor {

// x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2
__device__ inline float gelu_erf(float x) {
  const float half = 0.5f * x;
  return fmaf(half, erff(0.70710678f * x), half);
}

// Phi(x) + x phi(x), phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
__device__ inline float gelu_erf_gradient(float x) {
  const float cdf = fmaf(erff(0.70710678f * x), 0.5f, 0.5f);
  return fmaf(0.39894228f * x, expf(-0.5f * x * x), cdf);
}

// x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
__device__ inline float gelu_tanh(float x) {
  const float half = 0.5f * x;
  return fmaf(half, tanhf(x * fmaf(x * x, 0.035677408f, 0.79788456f)), half);
}

// (1 + t) / 2 + x (1 - t^2) u' / 2, t = tanh u, u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
__device__ inline float gelu_tanh_gradient(float x) {
  const float x2 = x * x;
  const float t = tanhf(x * fmaf(x2, 0.035677408f, 0.79788456f));
  const float du = fmaf(x2, 0.10703222f, 0.79788456f);
  const float slope = 0.5f * x * (1.0f - t * t) * du;
  // Where t is 1 in f32 the slope is 0; x^2 may have overflowed there, and 0 * infinity would be NaN.
  return fmaf(t, 0.5f, 0.5f) + (t * t == 1.0f ? 0.0f : slope);
}

}  // namespace vigor
