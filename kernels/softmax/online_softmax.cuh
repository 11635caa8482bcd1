#pragma once
// The maximum of some numbers and the sum of exp(x - maximum), found together in one pass: when a larger number comes,
// what has been added is scaled down to it (Milakov and Gimelshein 2018, arXiv:1805.02867).
#include <cmath>

#include "tensor/cuda_kernel.cuh"

namespace vigor {

struct OnlineSum {
  float maximum, sum;
  static __device__ OnlineSum of_nothing() { return {-INFINITY, 0}; }

  // -infinity counts 0, also before anything else has come. fmaxf() does not see a NaN, but it comes into the sum.
  __device__ void add(float x) { add(OnlineSum{x, 1}); }
  __device__ void add(const OnlineSum& other) {
    const float larger = fmaxf(maximum, other.maximum), offset = offset_for(larger);
    sum = sum * __expf(maximum - offset) + other.sum * __expf(other.maximum - offset);
    maximum = larger;
  }
  // One scaling for all N of them.
  template <int N>
  __device__ void add(const float (&x)[N]) {
    float larger = maximum;
    for (int i = 0; i < N; ++i) larger = fmaxf(larger, x[i]);
    const float offset = offset_for(larger);
    sum *= __expf(maximum - offset);
    for (int i = 0; i < N; ++i) sum += __expf(x[i] - offset);
    maximum = larger;
  }

  // What to subtract in exponents: while all are -infinity their exponentials are 0, but their differences NaN.
  static __device__ float offset_for(float maximum) { return maximum == -INFINITY ? 0.0f : maximum; }
};

// Of all lanes of the warp, in each of them.
__device__ inline OnlineSum warp_total(OnlineSum x) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    OnlineSum other;
    other.maximum = __shfl_xor_sync(kFullWarp, x.maximum, offset);
    other.sum = __shfl_xor_sync(kFullWarp, x.sum, offset);
    x.add(other);
  }
  return x;
}

// Of all threads of the block, in each of them. `shared` holds one for each warp; the call starts with a barrier,
// so that it may be used again at once.
__device__ inline OnlineSum block_total(OnlineSum x, OnlineSum* shared) {
  const unsigned lane = threadIdx.x % kWarpSize, warps = blockDim.x / kWarpSize;
  x = warp_total(x);
  __syncthreads();
  if (lane == 0) shared[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  return warp_total(lane < warps ? shared[lane] : OnlineSum::of_nothing());
}

}  // namespace vigor
