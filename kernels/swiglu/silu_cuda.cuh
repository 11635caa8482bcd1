#pragma once
// The gate of SwiGLU and of gated_rms_norm, for one number in a CUDA kernel.
namespace vigor {

// Within 3 ulp, without the slow path of an exact division, around which registers would be spilled. Where expf
// overflows the quotient is 0, as it should be.
__device__ inline float sigmoid_of(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }

// d/dx x sigmoid(x), from s = sigmoid(x).
__device__ inline float silu_slope(float x, float s) { return s * fmaf(x, 1.0f - s, 1.0f); }

}  // namespace vigor
