#include <algorithm>

#include "kernels/hybrid_mixer/hybrid_mixer_project_cuda.cuh"
#include "kernels/kernel_version.h"

namespace vigor {
namespace hybrid {
namespace {

template <class X>
struct OutputArguments {
  Time time;
  int64_t d;
  int n;
  const X* x;
  X* y;
  const float *w, *skip_d;
  const float* c;         // C [d,n]
  const float* s;         // [B,T,n]
  const float* h_chunks;  // [B,K,d]
  const float* h0;        // [B,d] or null
  float* h_last;
};

// A thread owns V neighbouring channels: their h, and with kProduct their rows of C in registers, used for all chunks
// of its block. y_t = C s_t + D h_t; s_t comes from shared memory, the same address for a whole warp.
// More than 32 states: another round adds the next 32 to y.
template <int V>
struct OutputTiles {
  float4 states[kChunk * kStateSlice / 4];  // [32 steps, 32 states]
  // Each warp turns its rows of C here: they are read as they lie, and a thread then takes a row. 33: no conflicts.
  float rows[kChannelThreads / kWarpSize][kWarpSize][kStateSlice + 1];
};

template <int V>
__device__ void load_rows(const float* matrix, int64_t rows, int n, int state0, OutputTiles<V>& tiles,
                          float (&c)[V][kStateSlice]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  float(&tile)[kWarpSize][kStateSlice + 1] = tiles.rows[warp];
  const int64_t first = (int64_t{blockIdx.y} * kChannelThreads + warp * kWarpSize) * V;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float* from = matrix + (first + v) * n + state0 + lane;
#pragma unroll 8
    for (int row = 0; row < kWarpSize; ++row, from += V * n)
      tile[row][lane] = first + row * V + v < rows && state0 + lane < n ? *from : 0.0f;
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kStateSlice; ++i) c[v][i] = tile[lane][i];
    __syncwarp();
  }
}

// h of one chunk and its y, or in later rounds what the next 32 states add to y. Returns h after the last real step.
template <class X, int V, bool kProduct>
__device__ Pack<float, V> write_outputs(const OutputArguments<X>& p, const Chunk& chunk, int64_t channel,
                                        bool first_round, Pack<float, V> h, const float (&c)[V][kStateSlice],
                                        const float* states) {
  constexpr int kGroup = 4;  // steps whose loads are in flight, as far as registers go
  Pack<float, V> w, skip_d;
  for (int v = 0; v < V; ++v) w.value[v] = p.w[channel + v], skip_d.value[v] = p.skip_d[channel + v];
  const int64_t start = chunk.row * p.d + channel;
  const X* from = (first_round ? p.x : p.y) + start;
  X* to = p.y + start;
  for (int t0 = 0; t0 < chunk.steps; t0 += kGroup) {
    Pack<X, V> group[kGroup];
#pragma unroll
    for (int i = 0; i < kGroup; ++i, from += p.d)
      if (t0 + i < chunk.steps) group[i] = load_pack<V>(from);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      if (t0 + i >= chunk.steps) break;
      if (bit(chunk.resets, t0 + i)) h = {};
      float sum[V];
      for (int v = 0; v < V; ++v) {
        const float value = to_float(group[i].value[v]);
        h.value[v] = w.value[v] * h.value[v] + (1.0f - w.value[v]) * value;
        sum[v] = first_round ? skip_d.value[v] * h.value[v] : value;
      }
      if constexpr (kProduct) {
#pragma unroll
        for (int j = 0; j < kStateSlice; j += 4) {
          const Pack<float, 4> s = load_pack<4>(states + (t0 + i) * kStateSlice + j);
          for (int v = 0; v < V; ++v)
            for (int k = 0; k < 4; ++k) sum[v] += c[v][j + k] * s.value[k];
        }
      }
      Pack<X, V> y;
      for (int v = 0; v < V; ++v) y.value[v] = from_float<X>(sum[v]);
      store_pack<V>(to, y);
      to += p.d;
    }
  }
  return h;
}

template <class X, int V, bool kProduct>
__global__ __launch_bounds__(kChannelThreads) void outputs_kernel(OutputArguments<X> p) {
  __shared__ OutputTiles<V> tiles;
  float* states = reinterpret_cast<float*>(tiles.states);
  const int64_t channel = (int64_t{blockIdx.y} * kChannelThreads + threadIdx.x) * V;
  const bool active = channel < p.d;
  for (int state0 = 0; state0 < (kProduct ? p.n : 1); state0 += kStateSlice) {
    float c[V][kStateSlice];
    if constexpr (kProduct) load_rows(p.c, p.d, p.n, state0, tiles, c);
    for (int64_t index = blockIdx.x; index < p.time.chunks(); index += gridDim.x) {
      const Chunk chunk = chunk_at(p.time, index);
      if constexpr (kProduct) {
        __syncthreads();
        load_states(p.s, chunk, p.n, state0, states);
        __syncthreads();
      }
      if (!active) continue;
      Pack<float, V> h;
      for (int v = 0; v < V; ++v) h.value[v] = p.h_chunks[index * p.d + channel + v];
      h = write_outputs<X, V, kProduct>(p, chunk, channel, state0 == 0, h, c, states);
      if (state0 > 0) continue;
      for (int t = chunk.steps; t < chunk.rows; ++t) store_pack<V>(p.y + (chunk.row + t) * p.d + channel, Pack<X, V>{});
      const int64_t last = chunk.sequence * p.d + channel;  // in [B,d]
      const bool empty = p.time.length(chunk.sequence) == 0 && index % p.time.chunks_each() == 0;
      for (int v = 0; v < V; ++v) {
        if (chunk.ends) p.h_last[last + v] = h.value[v];
        if (empty) p.h_last[last + v] = p.h0 != nullptr ? p.h0[last + v] : 0.0f;
      }
    }
  }
}

template <class X, int V, bool kProduct>
void launch_outputs(const OutputArguments<X>& p) {
  // A block loads its rows of C once: it takes several chunks when there are many.
  constexpr int64_t kMostBlocks = 256;
  const auto blocks = static_cast<unsigned>(std::min(p.time.chunks(), kMostBlocks));
  const dim3 grid(blocks, static_cast<unsigned>(ceil_div(p.d, int64_t{kChannelThreads} * V)));
  outputs_kernel<X, V, kProduct><<<grid, kChannelThreads, 0, cuda_stream()>>>(p);
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer outputs");
}

template <class X, bool kProduct>
void launch_outputs_of_width(const OutputArguments<X>& p) {
  constexpr size_t kPair = 2 * sizeof(X);
  const bool pairs =
      p.d % 2 == 0 && reinterpret_cast<uintptr_t>(p.x) % kPair == 0 && reinterpret_cast<uintptr_t>(p.y) % kPair == 0;
  if (pairs) launch_outputs<X, 2, kProduct>(p);
  else launch_outputs<X, 1, kProduct>(p);
}

// Versions 2 and 3: parallel in time.
//   2  products by themselves (version 1's kernels), then scans in chunks. x is read three times, y written twice and
//      read once: 6 activation passes of B T d elements.
//   3  the products ride on the passes of the scan: x is read twice and y written once, 3 passes where the minimum is
//      2. A step's y costs n multiply-adds a channel, about 45 instructions for n = 32.
template <class X>
void forward_chunked(const HybridMixerInputs& in, const HybridMixerOutputs& out, const HybridMixerWork& work,
                     bool fused) {
  const Time time(in);
  const int64_t d = in.x.sizes[2];
  const int n = static_cast<int>(in.ssm_a.sizes[0]);
  const auto* x = static_cast<const X*>(in.x.data);
  const int64_t splits = fused ? work.products.sizes[0] : 1;
  const auto *w = in.w_mix.as<float>(), *skip_d = in.skip_d.as<float>();
  auto* h_chunks = work.h_chunks.as<float>();
  if (!fused) product_x_bt(in, work.products);
  launch_project<X, false>(
      {time, d, n, 0, x, in.ssm_b.as<float>(), w, skip_d, nullptr, h_chunks, work.products.as<float>()}, splits, fused);
  launch_channel_carries(time, d, w, h_chunks, in.h0.as<float>(), nullptr, false);
  launch_powers(in.ssm_a.as<float>(), true, n, work.powers.as<float>());
  launch_state_scan({time, n, static_cast<int>(splits), work.products.as<float>(), work.powers.as<float>(),
                     work.s_chunks.as<float>(), out.s.as<float>(), in.s0.as<float>(), out.s_last.as<float>()},
                    false);
  const OutputArguments<X> arguments{time,
                                     d,
                                     n,
                                     x,
                                     static_cast<X*>(out.y.data),
                                     w,
                                     skip_d,
                                     in.ssm_c.as<float>(),
                                     out.s.as<float>(),
                                     h_chunks,
                                     in.h0.as<float>(),
                                     out.h_last.as<float>()};
  if (fused) {
    launch_outputs_of_width<X, true>(arguments);
  } else {
    launch_outputs_of_width<X, false>(arguments);
    product_s_ct(in, out);
  }
}

}  // namespace
}  // namespace hybrid

void hybrid_mixer_forward_cuda(const HybridMixerInputs& in, const HybridMixerOutputs& out,
                               const HybridMixerWork& work) {
  const int version = kernel_version("hybrid_mixer", 3);
  if (version == 1) return hybrid::forward_v1(in, out, work);
  if (version == 3 && in.x.sizes[1] == 1) return hybrid::forward_step(in, out, work);
  visit_cuda_float(in.x.dtype, "hybrid_mixer",
                   [&]<class X>() { hybrid::forward_chunked<X>(in, out, work, version == 3); });
}

}  // namespace vigor
