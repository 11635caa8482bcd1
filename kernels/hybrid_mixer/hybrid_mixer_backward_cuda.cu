#include "kernels/hybrid_mixer/hybrid_mixer_project_cuda.cuh"
#include "kernels/kernel_version.h"

namespace vigor {
namespace hybrid {
namespace {

template <class X>
struct GradientArguments {
  Time time;
  int64_t d;
  int n;
  const X *x, *dy;
  X* dx;
  const float *w, *skip_d;
  const float* b;         // B [n,d]
  const float *g, *s;     // [B,T,n]
  const float* h_chunks;  // [B,K,d]: h before each chunk
  const float* q_chunks;  // [B,K,d]: q of the step after each chunk
  const float* dh_last;   // [B,d] or null
  float* sums;            // [slices,2n+2,d]: dB, dC^T, dw_mix, dD
};

struct GradientTiles {
  float4 g[kChunk * kStateSlice / 4], s[kChunk * kStateSlice / 4];  // [32 steps, 32 states]
  // Each channel's h before each step and x, kept between the two sweeps over a chunk.
  float h[kChunk][kChannelThreads], x[kChunk][kChannelThreads];
};

// What a thread holds of 32 states: its column of B, and its sums of dB and dC^T.
struct StateColumns {
  float b[kStateSlice], db[kStateSlice], dc[kStateSlice];
};

// h through the chunk, in the order of time.
template <class X>
__device__ void sweep_forward(const GradientArguments<X>& p, const Chunk& chunk, int64_t c, float w, float h,
                              GradientTiles& tiles) {
  const int thread = static_cast<int>(threadIdx.x);
  const X* from = p.x + chunk.row * p.d + c;
  for (int t0 = 0; t0 < chunk.steps; t0 += kLoadGroup) {
    float x[kLoadGroup];
#pragma unroll
    for (int i = 0; i < kLoadGroup; ++i, from += p.d) x[i] = t0 + i < chunk.steps ? to_float(*from) : 0.0f;
#pragma unroll
    for (int i = 0; i < kLoadGroup; ++i) {
      if (bit(chunk.resets, t0 + i)) h = 0;
      tiles.h[t0 + i][thread] = h;
      tiles.x[t0 + i][thread] = x[i];
      h = w * h + (1.0f - w) * x[i];
    }
  }
}

// Then against time: q is what reaches the last step from behind it.
//   q_t = D dy_t + w q_{t+1}     dx_t = B^T g_t + (1-w) q_t
//   dw += q_t (h_{t-1} - x_t)    dD += dy_t h_t    dB += g_t x_t    dC^T += s_t dy_t
template <class X, bool kProduct>
__device__ void sweep_back(const GradientArguments<X>& p, const Chunk& chunk, int64_t c, float w, float skip_d, float q,
                           bool first_round, const GradientTiles& tiles, StateColumns& columns, float& dw,
                           float& dskip_d) {
  const int thread = static_cast<int>(threadIdx.x);
  const int last_row = (chunk.steps - 1) * kStateSlice;
  const float* g_row = reinterpret_cast<const float*>(tiles.g) + last_row;
  const float* s_row = reinterpret_cast<const float*>(tiles.s) + last_row;
  const int64_t last = (chunk.row + chunk.steps - 1) * p.d + c;
  const X* from = p.dy + last;
  X* dx = p.dx + last;
  for (int behind = chunk.steps; behind > 0; behind -= kLoadGroup) {
    float dy_group[kLoadGroup];
#pragma unroll
    for (int i = 0; i < kLoadGroup; ++i, from -= p.d) dy_group[i] = i < behind ? to_float(*from) : 0.0f;
#pragma unroll
    for (int i = 0; i < kLoadGroup; ++i) {
      const int t = behind - 1 - i;
      if (t < 0) break;
      const float x = tiles.x[t][thread], dy = dy_group[i];
      float sum;
      if (first_round) {
        const float h_before = tiles.h[t][thread];
        q += skip_d * dy;
        dw += q * (h_before - x);
        dskip_d += dy * (w * h_before + (1.0f - w) * x);
        sum = (1.0f - w) * q;
        q = bit(chunk.resets, t) ? 0.0f : w * q;
      } else {
        sum = to_float(*dx);
      }
      if constexpr (kProduct) {
#pragma unroll
        for (int j = 0; j < kStateSlice; j += 4) {
          const Pack<float, 4> g = load_pack<4>(g_row + j);
          const Pack<float, 4> s = load_pack<4>(s_row + j);
          for (int k = 0; k < 4; ++k) {
            sum += columns.b[j + k] * g.value[k];
            columns.db[j + k] += x * g.value[k];
            columns.dc[j + k] += dy * s.value[k];
          }
        }
      }
      *dx = from_float<X>(sum);
      dx -= p.d;
      g_row -= kStateSlice;
      s_row -= kStateSlice;
    }
  }
}

// The second and last pass over activations: everything that a channel's dx and gradients of parameters need.
// A thread owns a channel and, in registers over all chunks of its slice, its column of B and its sums. g_t and s_t
// come from shared memory, the same address for a whole warp; h and x of the chunk stay there too (40 KB).
// Reads x and dy once and writes dx once. More than 32 states: another round for the next 32, which adds to dx.
template <class X, bool kProduct>
__global__ __launch_bounds__(kChannelThreads) void gradients_kernel(GradientArguments<X> p) {
  __shared__ GradientTiles tiles;
  const int64_t c = int64_t{blockIdx.y} * kChannelThreads + threadIdx.x;
  const bool active = c < p.d;
  const float w = active ? p.w[c] : 0.0f, skip_d = active ? p.skip_d[c] : 0.0f;
  float* sums = p.sums + int64_t{blockIdx.x} * (2 * p.n + 2) * p.d + c;  // row r of [2n+2,d]: sums[r * d]
  float dw = 0, dskip_d = 0;
  for (int state0 = 0; state0 < (kProduct ? p.n : 1); state0 += kStateSlice) {
    const int states = active ? p.n - state0 : 0;  // of these 32, if fewer
    StateColumns columns = {};
    if constexpr (kProduct) {
      const float* from = p.b + state0 * p.d + c;
#pragma unroll
      for (int i = 0; i < kStateSlice; ++i, from += p.d)
        if (i < states) columns.b[i] = *from;
    }
    for (int64_t index = blockIdx.x; index < p.time.chunks(); index += gridDim.x) {
      const Chunk chunk = chunk_at(p.time, index);
      if constexpr (kProduct) {
        __syncthreads();
        load_states(p.g, chunk, p.n, state0, reinterpret_cast<float*>(tiles.g));
        load_states(p.s, chunk, p.n, state0, reinterpret_cast<float*>(tiles.s));
        __syncthreads();
      }
      if (!active) continue;
      sweep_forward(p, chunk, c, w, p.h_chunks[index * p.d + c], tiles);
      float q = w * p.q_chunks[index * p.d + c];
      if (chunk.ends) q = p.dh_last != nullptr ? p.dh_last[chunk.sequence * p.d + c] : 0.0f;
      sweep_back<X, kProduct>(p, chunk, c, w, skip_d, q, state0 == 0, tiles, columns, dw, dskip_d);
      if (state0 > 0) continue;
      for (int t = chunk.steps; t < chunk.rows; ++t) p.dx[(chunk.row + t) * p.d + c] = from_float<X>(0);
    }
    if constexpr (kProduct) {
      float *db = sums + state0 * p.d, *dc = sums + (p.n + state0) * p.d;
#pragma unroll
      for (int i = 0; i < kStateSlice; ++i, db += p.d, dc += p.d)
        if (i < states) *db = columns.db[i], *dc = columns.dc[i];
    }
  }
  if (!active) return;
  sums[2 * p.n * p.d] = dw;
  sums[(2 * p.n + 1) * p.d] = dskip_d;
}

// Versions 2 and 3: parallel in time, as in the forward pass; h before each chunk was kept there.
//   2  scans in chunks, products by themselves: x is read 2 times, dy 4, dx written twice and read once: 9 passes.
//   3  products on the passes of the scans: dy is read twice, x once, dx written once, 4 passes where the minimum is 3;
//      and the partial sums, at most 64 (2n+2) d floats written and read.
template <class X>
void backward_chunked(const HybridMixerInputs& in, const HybridMixerGradients& grads, const HybridMixerWork& work,
                      bool fused) {
  const Time time(in);
  const int64_t d = in.x.sizes[2];
  const int n = static_cast<int>(in.ssm_a.sizes[0]);
  const auto *x = static_cast<const X*>(in.x.data), *dy = static_cast<const X*>(grads.dy.data);
  const int64_t splits = fused ? work.products.sizes[0] : 1;
  const auto *w = in.w_mix.as<float>(), *skip_d = in.skip_d.as<float>(), *dh_last = grads.dh_last.as<float>();
  const auto* s = grads.s.as<float>();
  auto *g = grads.g.as<float>(), *q_chunks = work.q_chunks.as<float>();
  if (!fused) product_dy_c(in, grads, work.products);
  launch_project<X, true>(
      {time, d, n, 0, dy, in.ssm_c.as<float>(), w, skip_d, dh_last, q_chunks, work.products.as<float>()}, splits,
      fused);
  launch_channel_carries(time, d, w, q_chunks, dh_last, grads.dh0.as<float>(), true);
  launch_powers(in.ssm_a.as<float>(), false, n, work.powers.as<float>());
  launch_state_scan({time, n, static_cast<int>(splits), work.products.as<float>(), work.powers.as<float>(),
                     work.s_chunks.as<float>(), g, grads.ds_last.as<float>(), grads.ds0.as<float>()},
                    true);

  const int64_t slices = work.sums.sizes[0], stride = (2 * n + 2) * d;
  const float* sums = work.sums.as<float>();
  const GradientArguments<X> arguments{time,     d,       n,
                                       x,        dy,      static_cast<X*>(grads.dx.data),
                                       w,        skip_d,  in.ssm_b.as<float>(),
                                       g,        s,       work.h_chunks.as<float>(),
                                       q_chunks, dh_last, work.sums.as<float>()};
  const dim3 grid(static_cast<unsigned>(slices), static_cast<unsigned>(ceil_div(d, kChannelThreads)));
  if (fused) gradients_kernel<X, true><<<grid, kChannelThreads, 0, cuda_stream()>>>(arguments);
  else gradients_kernel<X, false><<<grid, kChannelThreads, 0, cuda_stream()>>>(arguments);
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer gradients");
  // One launch after another, so that two parameters may share a gradient buffer.
  if (fused) {
    launch_slice_sum(sums, slices, stride, n, d, false, grads.db);
    launch_slice_sum(sums + n * d, slices, stride, n, d, true, grads.dc);
  } else {
    products_of_g(in, grads);
  }
  launch_slice_sum(sums + 2 * n * d, slices, stride, 1, d, false, grads.dw_mix);
  launch_slice_sum(sums + (2 * n + 1) * d, slices, stride, 1, d, false, grads.dskip_d);
  if (!grads.da.defined()) return;
  launch_matrix_gradient(time, n, slices, g, s, in.s0.as<float>(), work.matrix_sums.as<float>());
  launch_slice_sum(work.matrix_sums.as<float>(), slices, int64_t{n} * n, n, n, false, grads.da);
}

}  // namespace
}  // namespace hybrid

void hybrid_mixer_backward_cuda(const HybridMixerInputs& in, const HybridMixerGradients& grads,
                                const HybridMixerWork& work) {
  const int version = kernel_version("hybrid_mixer", 3);
  if (version == 1) return hybrid::backward_v1(in, grads, work);
  visit_cuda_float(in.x.dtype, "hybrid_mixer",
                   [&]<class X>() { hybrid::backward_chunked<X>(in, grads, work, version == 3); });
}

}  // namespace vigor
