// Version 3, forward, for bf16: tensor cores.
//
// What changed against version 2: both products are mma instructions on bf16 tiles with f32 sums; the weights stay in
// registers between them; tiles arrive by cp.async, keys while values are used and the other way round; bank conflicts
// are gone by an exclusive or on the address instead of padding. 48 KB of shared memory at P = 128: two blocks or more
// a multiprocessor.
//
// bytes: as version 2, in bf16 also in shared memory. Weights are rounded to bf16 for the second product; their sum is
// of the unrounded ones.
#include "kernels/attention/attention_v3_cuda.cuh"

namespace vigor::attention_cuda {
namespace {

constexpr int kKeys = 64;
constexpr int kKeyTiles = kKeys / 8;
template <int P>
constexpr int kMinBlocks = P == 128 ? 2 : 4;  // a multiprocessor; leaves 255 or 128 registers a thread

// A row of scores lies in four lanes.
__device__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kFullWarp, x, 1));
  return fmaxf(x, __shfl_xor_sync(kFullWarp, x, 2));
}
__device__ float quad_sum(float x) {
  x += __shfl_xor_sync(kFullWarp, x, 1);
  return x + __shfl_xor_sync(kFullWarp, x, 2);
}

// The running maximum, sum and output of the two rows of a lane: quad and quad + 8.
template <int P>
struct OnlineSoftmax {
  float maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  float out[P / 8][4] = {};

  // scores -> weights relative to the raised maximum. seen[half]: keys of this tile that the row sees.
  __device__ void update(float (&scores)[kKeyTiles][4], const int (&seen)[2], float scale_log2, int pair) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float tile_maximum = -INFINITY;
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = scores[n][2 * half + e];
          score = 8 * n + pair + e < seen[half] ? scale_log2 * score : -INFINITY;
          tile_maximum = fmaxf(tile_maximum, score);
        }
      const float raised = fmaxf(maximum[half], quad_max(tile_maximum));
      const float reference = raised == -INFINITY ? 0 : raised;  // a row that has seen no key yet
      const float correction = exp2f(maximum[half] - reference);
      maximum[half] = raised;
      sum[half] *= correction;  // summed over the four lanes at the end
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = scores[n][2 * half + e];
          score = exp2f(score - reference);
          sum[half] += score;
        }
#pragma unroll
      for (int n = 0; n < P / 8; ++n) out[n][2 * half] *= correction, out[n][2 * half + 1] *= correction;
    }
  }
};

template <int P>
__global__ void __launch_bounds__(kTensorThreads, kMinBlocks<P>)
    attention_forward_v3(Inputs<bf16_t> in, Heads<bf16_t> y, float* lse) {
  __shared__ __align__(16) bf16_t shared[(kOwnedRows + 2 * kKeys) * P];
  const Tile<P> q{shared}, k{q.end(kOwnedRows)}, v{k.end(kKeys)};
  const LanePlace at;
  const int tiles = (in.Tq + kOwnedRows - 1) / kOwnedRows;
  const Unit unit(blockIdx.x, tiles, in.Hq);
  const int b = unit.batch, h = unit.head;
  const int first = (tiles - 1 - unit.tile) * kOwnedRows;  // queries that see most keys go first
  const Visible visible(in, b);
  const bf16_t *k_head = in.k.head(b, h / in.group), *v_head = in.v.head(b, h / in.group);
  const int end = visible.of(min(first + kOwnedRows, in.Tq) - 1);

  load_rows_async<kOwnedRows>(q, in.q.head(b, h), in.q.t_stride, first, in.Tq, in.packed);
  load_rows_async<kKeys>(k, k_head, in.k.t_stride, 0, visible.keys, in.packed);
  commit_copies();
  OnlineSoftmax<P> softmax;
  for (int key = 0; key < end; key += kKeys) {
    wait_for_copies<0>();
    __syncthreads();  // k is there, and nobody reads the v before it
    load_rows_async<kKeys>(v, v_head, in.v.t_stride, key, visible.keys, in.packed);
    commit_copies();
    float scores[kKeyTiles][4];
    multiply_rows(scores, q, k, at);
    wait_for_copies<0>();
    __syncthreads();  // v is there, and nobody reads this k any more
    if (key + kKeys < end) load_rows_async<kKeys>(k, k_head, in.k.t_stride, key + kKeys, visible.keys, in.packed);
    commit_copies();
    const int query = first + at.row0 + at.quad;
    const int seen[2] = {visible.of(query) - key, visible.of(query + 8) - key};
    softmax.update(scores, seen, in.scale_log2, at.pair);
    add_weighted_rows(softmax.out, scores, v, at);
  }
  wait_for_copies<0>();
  __syncthreads();  // also the q of a block that sees no key has landed

  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = quad_sum(softmax.sum[half]);
    factor[half] = total > 0 ? 1 / total : 0;
    const int query = first + at.row0 + at.quad + 8 * half;
    if (at.pair == 0 && query < in.Tq)
      lse[(int64_t{b} * in.Hq + h) * in.Tq + query] =
          total > 0 ? kLn2 * (softmax.maximum[half] + log2f(total)) : -INFINITY;
  }
  store_rows<P>(y.head(b, h), y.t_stride, first, in.Tq, softmax.out, factor[0], factor[1], q, at);
}

}  // namespace

void forward_v3(const Inputs<bf16_t>& in, int B, const Heads<bf16_t>& y, float* lse) {
  const auto blocks = static_cast<unsigned>(ceil_div(in.Tq, kOwnedRows) * in.Hq * B);
  visit_width(in.P,
              [&]<int P>() { attention_forward_v3<P><<<blocks, kTensorThreads, 0, cuda_stream()>>>(in, y, lse); });
  VIGOR_CUDA_CHECK_LAUNCH("attention_forward_v3");
}

}  // namespace vigor::attention_cuda
