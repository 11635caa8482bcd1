#pragma once
// What CUDA kernels share: bf16 as a device type, 16-byte packs, sums over a warp or block, and launch sizes.
#include <cuda_bf16.h>

#include <cstdint>

#include "tensor/cuda.h"
#include "tensor/view.h"

namespace vigor {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kFullWarp = 0xffffffffu;
inline constexpr int kPackBytes = 16;  // the widest access of a thread

// ---- element types: float and __nv_bfloat16 are computed with, always in float ----

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class T>
__device__ T from_float(float x) {
  if constexpr (sizeof(T) == sizeof(float)) return x;
  else return __float2bfloat16_rn(x);
}

// Calls f.template operator()<T>() with T = float or __nv_bfloat16. The CUDA half computes in these; other dtypes
// throw.
template <class F>
decltype(auto) visit_cuda_float(Dtype dtype, const char* op, F&& f) {
  if (dtype == Dtype::f32) return f.template operator()<float>();
  if (dtype != Dtype::bf16) fail("{}: CUDA kernels compute in f32 and bf16; got {}", op, name_of(dtype));
  return f.template operator()<__nv_bfloat16>();
}

// ---- 16-byte accesses ----

// N neighbouring elements that are read or written at once; the address must be a multiple of their size.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};
template <class T>
inline constexpr int kPackElements = kPackBytes / static_cast<int>(sizeof(T));

template <int N, class T>
__device__ Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, class T>
__device__ void store_pack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// True when every row of `columns` elements that starts at `data` can be read in 16-byte packs.
template <class T>
bool packs_fit(const void* data, int64_t columns) {
  return reinterpret_cast<uintptr_t>(data) % kPackBytes == 0 && columns % kPackElements<T> == 0;
}

// ---- sums ----

template <class T>
__device__ T warp_sum(T x) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kFullWarp, x, offset);
  return x;  // the same in every lane
}
__device__ inline float warp_max(float x) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kFullWarp, x, offset));
  return x;
}

// The sum over a block of whole warps, in every thread. `shared` holds one T a warp; the call starts and ends with a
// barrier, so that it may be used again at once.
template <class T>
__device__ T block_sum(T x, T* shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  x = warp_sum(x);
  __syncthreads();
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  T total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarpSize; ++w) total += shared[w];
  return total;
}

// ---- launches ----

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks for n units of work at `per_block` each. Grids stop at a few waves of blocks: kernels step through the rest
// with a grid stride, so n may exceed any grid limit.
inline unsigned grid_size(int64_t n, int64_t per_block) {
  const int64_t most = int64_t{cuda_limits().multiprocessors} * 32;
  const int64_t blocks = ceil_div(n, per_block);
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks < most ? blocks : most);
}

__device__ inline int64_t global_thread() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ inline int64_t global_threads() { return int64_t{gridDim.x} * blockDim.x; }

// Division by a number that the host knows, as a multiplication: a 64-bit division costs a GPU some hundred
// instructions and a call, around which registers are spilled.
//
// With 2^(l-1) < d <= 2^l and m = floor(2^(63+l) / d) + 1, floor(n m / 2^(63+l)) is floor(n / d) for all 0 <= n < 2^63:
// m d exceeds 2^(63+l) by at most d <= 2^l, so that n m / 2^(63+l) exceeds n / d by less than 1 / d.
struct Divisor {
  uint64_t multiplier = 0;
  int shift = 0;

  Divisor() = default;
  explicit Divisor(int64_t d) {  // d >= 2
    int l = 1;
    while ((uint64_t{1} << l) < static_cast<uint64_t>(d)) ++l;
    multiplier = static_cast<uint64_t>((static_cast<unsigned __int128>(1) << (63 + l)) / static_cast<uint64_t>(d)) + 1;
    shift = l - 1;
  }
  __device__ int64_t quotient(int64_t n) const {
    return static_cast<int64_t>(__umul64hi(static_cast<uint64_t>(n), multiplier) >> shift);
  }
};

// Sizes and strides of N operands for device code: row-major index -> element offset of each operand. Made from a
// StridedLoop (tensor/strided_loop.h), which joins dimensions, so that most loops have one or two.
template <int N>
struct DeviceStrides {
  int rank = 0;
  int64_t sizes[kMaxRank];
  int64_t strides[N][kMaxRank];
  Divisor divisors[kMaxRank];  // by the sizes

  template <class Loop>
  explicit DeviceStrides(const Loop& loop) {
    for (int dim = 0; dim < loop.sizes.rank(); ++dim) {
      if (loop.sizes[dim] == 1) continue;
      sizes[rank] = loop.sizes[dim];
      if (sizes[rank] > 1) divisors[rank] = Divisor(sizes[rank]);  // of no elements there are no offsets
      for (int n = 0; n < N; ++n) strides[n][rank] = loop.strides[static_cast<size_t>(n)][dim];
      ++rank;
    }
  }

  __device__ void offsets(int64_t index, int64_t (&at)[N]) const {
    for (int n = 0; n < N; ++n) at[n] = 0;
    for (int dim = rank - 1; dim >= 0; --dim) {
      const int64_t rest = dim == 0 ? 0 : divisors[dim].quotient(index);
      const int64_t i = index - rest * sizes[dim];
      index = rest;
      for (int n = 0; n < N; ++n) at[n] += i * strides[n][dim];
    }
  }
};

}  // namespace vigor
