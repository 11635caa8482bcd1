// Version 2, forward: tiles in shared memory and online softmax ("flash" attention), products in f32.
//
// What changed against version 1: a block owns 64 queries and brings each tile of keys and values into shared memory
// once for all of them, and one pass is enough: when a tile raises a row's maximum, what was summed so far is scaled
// down to it.
//
// bytes: k and v once a block of 64 queries instead of once a query (k twice): with causal masks Tq/128 readings of k
// and v, and q and y once. No array of Tq x Tk elements exists.
#include "kernels/attention/attention_v2_cuda.cuh"

namespace vigor::attention_cuda {
namespace {

constexpr int kQueries = 64;
template <int P>
inline constexpr int kKeys = P == 128 ? 32 : 64;  // for shared memory below 99 KB
template <int P>
inline constexpr int kSharedBytes = FloatTile<P>::bytes(kQueries + 2 * kKeys<P>) + FloatTile<kKeys<P>>::bytes(kQueries);

__device__ float row_max(float x) {  // over the 16 threads of a row
  for (int offset = kSide / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kFullWarp, x, offset));
  return x;
}
__device__ float row_sum(float x) {
  for (int offset = kSide / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kFullWarp, x, offset);
  return x;
}

template <class T, int P>
__global__ void __launch_bounds__(kTiledThreads) attention_forward_v2(Inputs<T> in, Heads<T> y, float* lse) {
  constexpr int kI = kQueries / kSide, kJ = kKeys<P> / kSide;
  extern __shared__ __align__(16) float shared[];
  const FloatTile<P> q{shared}, k{q.row(kQueries)}, v{k.row(kKeys<P>)};
  const FloatTile<kKeys<P>> weights{v.row(kKeys<P>)};
  const Place at;
  const int tiles = (in.Tq + kQueries - 1) / kQueries;
  const Unit unit(blockIdx.x, tiles, in.Hq);
  const int b = unit.batch, h = unit.head;
  const int first = (tiles - 1 - unit.tile) * kQueries;  // queries that see most keys go first
  const Visible visible(in, b);
  load_rows<kQueries>(q, in.q.head(b, h), in.q.t_stride, first, in.Tq, in.packed);

  float maximum[kI], sum[kI], out[kI][Channels<P>::kCount] = {};
  for (int i = 0; i < kI; ++i) maximum[i] = -INFINITY, sum[i] = 0;
  const int end = visible.of(min(first + kQueries, in.Tq) - 1);
  for (int key = 0; key < end; key += kKeys<P>) {
    __syncthreads();
    load_rows<kKeys<P>>(k, in.k.head(b, h / in.group), in.k.t_stride, key, visible.keys, in.packed);
    load_rows<kKeys<P>>(v, in.v.head(b, h / in.group), in.v.t_stride, key, visible.keys, in.packed);
    __syncthreads();
    float scores[kI][kJ];
    multiply_rows(scores, q, k, at);
#pragma unroll
    for (int i = 0; i < kI; ++i) {
      const int seen = visible.of(first + at.y + kSide * i) - key;  // keys of this tile before it
      float tile_maximum = -INFINITY;
#pragma unroll
      for (int j = 0; j < kJ; ++j) {
        scores[i][j] = at.x + kSide * j < seen ? in.scale_log2 * scores[i][j] : -INFINITY;
        tile_maximum = fmaxf(tile_maximum, scores[i][j]);
      }
      const float raised = fmaxf(maximum[i], row_max(tile_maximum));
      const float reference = raised == -INFINITY ? 0 : raised;  // a row that has seen no key yet
      const float correction = exp2f(maximum[i] - reference);
      maximum[i] = raised;
      float tile_sum = 0;
#pragma unroll
      for (int j = 0; j < kJ; ++j) tile_sum += scores[i][j] = exp2f(scores[i][j] - reference);
      sum[i] = sum[i] * correction + tile_sum;
#pragma unroll
      for (int c = 0; c < Channels<P>::kCount; ++c) out[i][c] *= correction;
    }
    store_weights(weights, scores, at);
    __syncwarp();
    add_weighted_rows<kI, kKeys<P>>(out, weights, v, at);
  }

#pragma unroll
  for (int i = 0; i < kI; ++i) {
    const int query = first + at.y + kSide * i;
    const float total = row_sum(sum[i]);
    if (query >= in.Tq) continue;
    store_channels<P>(y.row(b, h, query), out[i], total > 0 ? 1 / total : 0, at);
    if (at.x == 0)
      lse[(int64_t{b} * in.Hq + h) * in.Tq + query] = total > 0 ? kLn2 * (maximum[i] + log2f(total)) : -INFINITY;
  }
}

}  // namespace

template <class T>
void forward_v2(const Inputs<T>& in, int B, const Heads<T>& y, float* lse) {
  const auto blocks = static_cast<unsigned>(ceil_div(in.Tq, kQueries) * in.Hq * B);
  visit_width(in.P, [&]<int P>() {
    allow_shared_bytes(attention_forward_v2<T, P>, kSharedBytes<P>);
    attention_forward_v2<T, P><<<blocks, kTiledThreads, kSharedBytes<P>, cuda_stream()>>>(in, y, lse);
  });
  VIGOR_CUDA_CHECK_LAUNCH("attention_forward_v2");
}

template void forward_v2(const Inputs<float>&, int, const Heads<float>&, float*);
template void forward_v2(const Inputs<__nv_bfloat16>&, int, const Heads<__nv_bfloat16>&, float*);

}  // namespace vigor::attention_cuda
