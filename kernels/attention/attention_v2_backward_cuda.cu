// Version 2, backward: tiles in shared memory, products in f32.
//
// What changed against version 1: 64 rows (32 at P = 128) share what is streamed past them. dq has a pass of its own,
// so that no two blocks add to one number; the price is that s and dp are computed twice: seven tile products in all
// instead of the five of a pass with atomics.
//
// bytes: dq reads k and v, dk and dv read q and dy, once a block of 64 rows instead of once a row; results once.
#include "kernels/attention/attention_v2_cuda.cuh"

namespace vigor::attention_cuda {
namespace {

// Two tiles are owned, two streamed, and ds (dk and dv: also p) goes through shared memory; below 99 KB in all.
template <int P>
inline constexpr int kOwned = P == 128 ? 32 : 64;
template <int P>
inline constexpr int kStreamed = P >= 64 ? 32 : 64;
template <int P, int kWeights>
inline constexpr int kSharedBytes =
    FloatTile<P>::bytes(2 * kOwned<P> + 2 * kStreamed<P>) + FloatTile<kStreamed<P>>::bytes(kWeights* kOwned<P>);
template <int P>
inline constexpr int kTermBytes = kStreamed<P>* static_cast<int>(sizeof(RowTerms));

template <class T, int P>
__global__ void __launch_bounds__(kTiledThreads, 1) attention_dq_v2(Inputs<T> in, Gradients<T> grads) {
  constexpr int kI = kOwned<P> / kSide, kJ = kStreamed<P> / kSide;
  extern __shared__ __align__(16) float shared[];
  const FloatTile<P> q{shared}, dy{q.row(kOwned<P>)}, k{dy.row(kOwned<P>)}, v{k.row(kStreamed<P>)};
  const FloatTile<kStreamed<P>> weights{v.row(kStreamed<P>)};
  const Place at;
  const int tiles = (in.Tq + kOwned<P> - 1) / kOwned<P>;
  const Unit unit(blockIdx.x, tiles, in.Hq);
  const int b = unit.batch, h = unit.head, first = (tiles - 1 - unit.tile) * kOwned<P>;
  const Visible visible(in, b);
  load_rows<kOwned<P>>(q, in.q.head(b, h), in.q.t_stride, first, in.Tq, in.packed);
  load_rows<kOwned<P>>(dy, grads.dy.head(b, h), grads.dy.t_stride, first, in.Tq, in.packed);

  RowTerms terms[kI];
  for (int i = 0; i < kI; ++i) {
    const int query = first + at.y + kSide * i;
    terms[i] = query < in.Tq ? grads.terms[(int64_t{b} * in.Hq + h) * in.Tq + query] : RowTerms{0, 0};
  }
  float dq[kI][Channels<P>::kCount] = {};
  const int end = visible.of(min(first + kOwned<P>, in.Tq) - 1);
  for (int key = 0; key < end; key += kStreamed<P>) {
    __syncthreads();
    load_rows<kStreamed<P>>(k, in.k.head(b, h / in.group), in.k.t_stride, key, visible.keys, in.packed);
    load_rows<kStreamed<P>>(v, in.v.head(b, h / in.group), in.v.t_stride, key, visible.keys, in.packed);
    __syncthreads();
    float s[kI][kJ], dp[kI][kJ];
    multiply_rows(s, q, k, at);
    multiply_rows(dp, dy, v, at);
#pragma unroll
    for (int i = 0; i < kI; ++i) {
      const int seen = visible.of(first + at.y + kSide * i) - key;
#pragma unroll
      for (int j = 0; j < kJ; ++j) {
        const float p = exp2f(in.scale_log2 * s[i][j] - terms[i].x);
        dp[i][j] = at.x + kSide * j < seen ? p * (dp[i][j] - terms[i].y) : 0;  // now ds
      }
    }
    store_weights(weights, dp, at);
    __syncwarp();
    add_weighted_rows<kI, kStreamed<P>>(dq, weights, k, at);
  }

#pragma unroll
  for (int i = 0; i < kI; ++i) {
    const int query = first + at.y + kSide * i;
    if (query < in.Tq) store_channels<P>(grads.dq.row(b, h, query), dq[i], in.scale, at);
  }
}

template <class T, int P>
__global__ void __launch_bounds__(kTiledThreads, 1) attention_dkv_v2(Inputs<T> in, Gradients<T> grads) {
  constexpr int kI = kOwned<P> / kSide, kJ = kStreamed<P> / kSide;
  extern __shared__ __align__(16) float shared[];
  const FloatTile<P> k{shared}, v{k.row(kOwned<P>)}, q{v.row(kOwned<P>)}, dy{q.row(kStreamed<P>)};
  const FloatTile<kStreamed<P>> p_tile{dy.row(kStreamed<P>)}, ds_tile{p_tile.row(kOwned<P>)};
  RowTerms* terms = reinterpret_cast<RowTerms*>(ds_tile.row(kOwned<P>));  // of the streamed queries
  const Place at;
  const Unit unit(blockIdx.x, (in.Tk + kOwned<P> - 1) / kOwned<P>, in.Hkv);
  const int b = unit.batch, first = unit.tile * kOwned<P>;
  const Visible visible(in, b);
  load_rows<kOwned<P>>(k, in.k.head(b, unit.head), in.k.t_stride, first, visible.keys, in.packed);
  load_rows<kOwned<P>>(v, in.v.head(b, unit.head), in.v.t_stride, first, visible.keys, in.packed);

  float dk[kI][Channels<P>::kCount] = {}, dv[kI][Channels<P>::kCount] = {};
  const int first_query = first < visible.keys ? visible.first_query(first) : in.Tq;
  for (int h = unit.head * in.group; h < (unit.head + 1) * in.group; ++h) {
    const RowTerms* head_terms = grads.terms + (int64_t{b} * in.Hq + h) * in.Tq;
    for (int query = first_query; query < in.Tq; query += kStreamed<P>) {
      __syncthreads();
      load_rows<kStreamed<P>>(q, in.q.head(b, h), in.q.t_stride, query, in.Tq, in.packed);
      load_rows<kStreamed<P>>(dy, grads.dy.head(b, h), grads.dy.t_stride, query, in.Tq, in.packed);
      for (int j = static_cast<int>(threadIdx.x); j < kStreamed<P>; j += kTiledThreads)
        terms[j] = query + j < in.Tq ? head_terms[query + j] : RowTerms{0, 0};
      __syncthreads();
      float s[kI][kJ], dp[kI][kJ];  // transposed: rows are keys, columns queries
      multiply_rows(s, k, q, at);
      multiply_rows(dp, v, dy, at);
#pragma unroll
      for (int j = 0; j < kJ; ++j) {
        const int column = at.x + kSide * j;
        const int seen = query + column < in.Tq ? visible.of(query + column) - first : 0;
        const RowTerms term = terms[column];
#pragma unroll
        for (int i = 0; i < kI; ++i) {
          const bool sees = at.y + kSide * i < seen;
          s[i][j] = sees ? exp2f(in.scale_log2 * s[i][j] - term.x) : 0;  // now p
          dp[i][j] = sees ? s[i][j] * (dp[i][j] - term.y) : 0;           // now ds
        }
      }
      store_weights(p_tile, s, at);
      store_weights(ds_tile, dp, at);
      __syncwarp();
      add_weighted_rows<kI, kStreamed<P>>(dv, p_tile, dy, at);
      add_weighted_rows<kI, kStreamed<P>>(dk, ds_tile, q, at);
    }
  }

#pragma unroll
  for (int i = 0; i < kI; ++i) {
    const int key = first + at.y + kSide * i;
    if (key >= in.Tk) continue;
    store_channels<P>(grads.dk.row(b, unit.head, key), dk[i], in.scale, at);
    store_channels<P>(grads.dv.row(b, unit.head, key), dv[i], 1, at);
  }
}

}  // namespace

template <class T>
void backward_v2(const Inputs<T>& in, int B, const Gradients<T>& grads) {
  visit_width(in.P, [&]<int P>() {
    const auto query_blocks = static_cast<unsigned>(ceil_div(in.Tq, kOwned<P>) * in.Hq * B);
    allow_shared_bytes(attention_dq_v2<T, P>, kSharedBytes<P, 1>);
    attention_dq_v2<T, P><<<query_blocks, kTiledThreads, kSharedBytes<P, 1>, cuda_stream()>>>(in, grads);
    VIGOR_CUDA_CHECK_LAUNCH("attention_dq_v2");
    const auto key_blocks = static_cast<unsigned>(ceil_div(in.Tk, kOwned<P>) * in.Hkv * B);
    constexpr int kBytes = kSharedBytes<P, 2> + kTermBytes<P>;
    allow_shared_bytes(attention_dkv_v2<T, P>, kBytes);
    attention_dkv_v2<T, P><<<key_blocks, kTiledThreads, kBytes, cuda_stream()>>>(in, grads);
  });
  VIGOR_CUDA_CHECK_LAUNCH("attention_dkv_v2");
}

template void backward_v2(const Inputs<float>&, int, const Gradients<float>&);
template void backward_v2(const Inputs<__nv_bfloat16>&, int, const Gradients<__nv_bfloat16>&);

}  // namespace vigor::attention_cuda
