#pragma once
// The first pass over activations, forward (x) and backward (dy): what each chunk adds to its channels' h or q, and in
// version 3 on the way the product with B or C that feeds the state space.
#include "kernels/hybrid_mixer/hybrid_mixer_cuda.cuh"

namespace vigor::hybrid {

template <class X>
struct ProjectArguments {
  Time time;
  int64_t d;
  int n;
  int64_t part;         // channels of a split, a multiple of kChannelThreads
  const X* in;          // [B,T,d]: x or dy
  const float* matrix;  // forward B [n,d], backward C [d,n]
  const float *w, *skip_d;
  const float* dh_last;  // [B,d] or null: backward
  float* chunks;         // [B,K,d]: what each chunk adds
  float* products;       // [splits,B,T,n]
};

// A thread owns a channel and goes through the rows of the chunk: h = w h + (1-w) x, or q = w q + D dy. With kProduct
// the values also go to a column of shared memory [32, kStride]: padding and channels beyond d as zeros.
template <class X, bool kReverse, bool kProduct, int kStride>
__device__ void scan_channel(const ProjectArguments<X>& p, const Chunk& chunk, int64_t c, bool writes, float* column) {
  const bool active = c < p.d;
  const float w = active ? p.w[c] : 0.0f;
  const float gain = !active ? 0.0f : kReverse ? p.skip_d[c] : 1.0f - w;
  const bool joins = kReverse && active && chunk.ends && p.dh_last != nullptr;
  const float dh_last = joins ? p.dh_last[chunk.sequence * p.d + c] : 0.0f;  // at the last real step
  const uint32_t broken = broken_links<kReverse>(chunk.resets);
  const int steps = active ? chunk.steps : 0;
  int64_t at = (chunk.row + step_of_row<kReverse>(0)) * p.d + c;
  float carried = 0;
  for (int row0 = 0; row0 < kChunk; row0 += kLoadGroup) {
    float value[kLoadGroup];
#pragma unroll
    for (int i = 0; i < kLoadGroup; ++i, at += kReverse ? -p.d : p.d)
      value[i] = step_of_row<kReverse>(row0 + i) < steps ? to_float(p.in[at]) : 0.0f;
#pragma unroll
    for (int i = 0; i < kLoadGroup; ++i) {
      const int t = step_of_row<kReverse>(row0 + i);
      if constexpr (kProduct) column[t * kStride] = value[i];
      if (bit(broken, row0 + i)) carried = 0;
      carried = w * carried + gain * value[i];
      if (kReverse && t == chunk.steps - 1) carried += dh_last;
    }
  }
  if (active && writes)
    p.chunks[int64_t{blockIdx.x} * p.d + c] = leaves_nothing<kReverse>(chunk.resets) ? 0.0f : carried;
}

// tile [32 states, kStride] = the matrix for 32 states and 128 channels from c0; zeros beyond. B is read along its
// channels and C along its states, so that neighbouring threads read neighbouring elements.
template <bool kReverse, int kStride>
__device__ void load_matrix(const float* matrix, int64_t d, int n, int64_t c0, int state0, float* tile) {
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (!kReverse) {
    const float* from = matrix + state0 * d + c0 + thread;
    const int states = c0 + thread < d ? n - state0 : 0;
#pragma unroll 8
    for (int i = 0; i < kStateSlice; ++i, from += d) tile[i * kStride + thread] = i < states ? *from : 0.0f;
  } else {
    const int state = thread % kStateSlice, row = thread / kStateSlice;  // a warp reads a row of C
    const float* from = matrix + (c0 + row) * n + state0 + state;
    const int64_t channels = state0 + state < n ? d - c0 : 0;
#pragma unroll 8
    for (int c = row; c < kChannelThreads;
         c += kChannelThreads / kStateSlice, from += kChannelThreads / kStateSlice * n)
      tile[state * kStride + c] = c < channels ? *from : 0.0f;
  }
}

// Block (chunk, split of the channels, slice of 32 states), 128 threads. Per 128 channels: the tile [32 steps, 128] and
// that of the matrix [32 states, 128] come into shared memory (34 KB), and a thread sums 4 steps x 2 states; a warp
// reads rows of 4 banks' distance, so its 16-byte accesses have no conflicts. Activations are read once (per 32
// states), the matrix once a chunk, from the L2 cache.
template <class X, bool kReverse>
__global__ __launch_bounds__(kChannelThreads) void project_kernel(ProjectArguments<X> p) {
  constexpr int kStride = kChannelThreads + 4;
  __shared__ float4 values_storage[kChunk * kStride / 4], weights_storage[kStateSlice * kStride / 4];
  float* values = reinterpret_cast<float*>(values_storage);
  float* weights = reinterpret_cast<float*>(weights_storage);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_step = thread / 16, first_state = thread % 16;  // steps +0, 8, 16, 24 and states +0, 16
  const int state0 = static_cast<int>(blockIdx.z) * kStateSlice;
  const Chunk chunk = chunk_at(p.time, blockIdx.x);
  float sums[4][2] = {};
  const int64_t begin = blockIdx.y * p.part, end = begin + p.part < p.d ? begin + p.part : p.d;
  for (int64_t c0 = begin; c0 < end; c0 += kChannelThreads) {
    scan_channel<X, kReverse, true, kStride>(p, chunk, c0 + thread, blockIdx.z == 0, values + thread);
    load_matrix<kReverse, kStride>(p.matrix, p.d, p.n, c0, state0, weights);
    __syncthreads();
    const int width = static_cast<int>(end - c0 < kChannelThreads ? end - c0 : kChannelThreads);
    for (int c = 0; c < width; c += 4) {
      Pack<float, 4> weight[2], value[4];
      for (int j = 0; j < 2; ++j) weight[j] = load_pack<4>(weights + (first_state + 16 * j) * kStride + c);
      for (int i = 0; i < 4; ++i) value[i] = load_pack<4>(values + (first_step + 8 * i) * kStride + c);
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 2; ++j)
          for (int k = 0; k < 4; ++k) sums[i][j] += value[i].value[k] * weight[j].value[k];
    }
    __syncthreads();
  }
  float* out = p.products + blockIdx.y * p.time.batch * p.time.steps * p.n;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 2; ++j) {
      const int t = first_step + 8 * i, s = state0 + first_state + 16 * j;
      if (t < chunk.steps && s < p.n) out[(chunk.row + t) * p.n + s] = sums[i][j];
    }
}

// Version 2: the scan alone.
template <class X, bool kReverse>
__global__ __launch_bounds__(kChannelThreads, 4) void channel_ends_kernel(ProjectArguments<X> p) {
  const Chunk chunk = chunk_at(p.time, blockIdx.x);
  scan_channel<X, kReverse, false, 0>(p, chunk, int64_t{blockIdx.y} * kChannelThreads + threadIdx.x, true, nullptr);
}

template <class X, bool kReverse>
void launch_project(ProjectArguments<X> p, int64_t splits, bool with_product) {
  const auto chunks = static_cast<unsigned>(p.time.chunks());
  p.part = ceil_div(ceil_div(p.d, splits), kChannelThreads) * kChannelThreads;
  if (with_product) {
    const dim3 grid(chunks, static_cast<unsigned>(splits), static_cast<unsigned>(ceil_div(p.n, kStateSlice)));
    project_kernel<X, kReverse><<<grid, kChannelThreads, 0, cuda_stream()>>>(p);
  } else {
    const dim3 grid(chunks, static_cast<unsigned>(ceil_div(p.d, kChannelThreads)));
    channel_ends_kernel<X, kReverse><<<grid, kChannelThreads, 0, cuda_stream()>>>(p);
  }
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer project");
}

}  // namespace vigor::hybrid
