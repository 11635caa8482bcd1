// Version 3, backward, for bf16: tensor cores.
//
// What changed against version 2: as forward. The pass for dk and dv computes the scores transposed, keys by queries,
// so that p^T and ds^T already lie in registers as the left operands of dv = p^T dy and dk = ds^T q: no tile of weights
// in shared memory at all. Streamed tiles are double-buffered: the next one arrives while this one is used.
//
// bytes: as version 2, in bf16 also in shared memory; p and ds are rounded to bf16 for their products.
#include "kernels/attention/attention_v3_cuda.cuh"

namespace vigor::attention_cuda {
namespace {

// Rows of a streamed tile: fewer at P = 128, for the registers of two sums and for shared memory below 99 KB.
template <int P>
inline constexpr int kStreamed = P == 128 ? 32 : 64;
// Queries of such a tile that the dk and dv pass takes at a time; a multiple of 8 rows, so their tile has the same
// exclusive or.
template <int P>
inline constexpr int kPart = P == 128 ? 16 : 64;
template <int P>
inline constexpr int kSharedBytes = Tile<P>::bytes(2 * kOwnedRows + 4 * kStreamed<P>);
template <int P>
inline constexpr int kTermBytes = 2 * kStreamed<P>* static_cast<int>(sizeof(RowTerms));

// Two streamed tiles at a time, one pair in use and one on its way.
template <int P>
struct Stages {
  bf16_t* memory;
  __device__ Tile<P> first(int stage) const { return {memory + 2 * stage * kStreamed<P> * P}; }
  __device__ Tile<P> second(int stage) const { return {memory + (2 * stage + 1) * kStreamed<P> * P}; }
};

template <int P>
__global__ void __launch_bounds__(kTensorThreads) attention_dq_v3(Inputs<bf16_t> in, Gradients<bf16_t> grads) {
  constexpr int kKeys = kStreamed<P>;
  extern __shared__ __align__(16) bf16_t shared[];
  const Tile<P> q{shared}, dy{q.end(kOwnedRows)};
  const Stages<P> keys{dy.end(kOwnedRows)};
  const LanePlace at;
  const int tiles = (in.Tq + kOwnedRows - 1) / kOwnedRows;
  const Unit unit(blockIdx.x, tiles, in.Hq);
  const int b = unit.batch, h = unit.head, first = (tiles - 1 - unit.tile) * kOwnedRows;
  const Visible visible(in, b);
  const auto load_keys = [&](int key, int stage) {
    load_rows_async<kKeys>(keys.first(stage), in.k.head(b, h / in.group), in.k.t_stride, key, visible.keys, in.packed);
    load_rows_async<kKeys>(keys.second(stage), in.v.head(b, h / in.group), in.v.t_stride, key, visible.keys, in.packed);
  };
  load_rows_async<kOwnedRows>(q, in.q.head(b, h), in.q.t_stride, first, in.Tq, in.packed);
  load_rows_async<kOwnedRows>(dy, grads.dy.head(b, h), grads.dy.t_stride, first, in.Tq, in.packed);
  load_keys(0, 0);
  commit_copies();

  RowTerms terms[2];
  int last_seen[2];
  for (int half = 0; half < 2; ++half) {
    const int query = first + at.row0 + at.quad + 8 * half;
    terms[half] = query < in.Tq ? grads.terms[(int64_t{b} * in.Hq + h) * in.Tq + query] : RowTerms{0, 0};
    last_seen[half] = visible.of(query);
  }
  float dq[P / 8][4] = {};
  const int end = visible.of(min(first + kOwnedRows, in.Tq) - 1);
  for (int key = 0, stage = 0; key < end; key += kKeys, stage ^= 1) {
    if (key + kKeys < end) load_keys(key + kKeys, stage ^ 1);
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();  // this tile is there
    float s[kKeys / 8][4], dp[kKeys / 8][4];
    multiply_rows(s, q, keys.first(stage), at);
    multiply_rows(dp, dy, keys.second(stage), at);
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const RowTerms term = terms[e / 2];
        const float p = exp2f(in.scale_log2 * s[n][e] - term.x);
        dp[n][e] = key + 8 * n + at.pair + e % 2 < last_seen[e / 2] ? p * (dp[n][e] - term.y) : 0;  // now ds
      }
    add_weighted_rows(dq, dp, keys.first(stage), at);
    __syncthreads();  // nobody reads this tile any more
  }
  wait_for_copies<0>();
  __syncthreads();
  store_rows<P>(grads.dq.head(b, h), grads.dq.t_stride, first, in.Tq, dq, in.scale, in.scale, q, at);
}

template <int P>
__global__ void __launch_bounds__(kTensorThreads) attention_dkv_v3(Inputs<bf16_t> in, Gradients<bf16_t> grads) {
  constexpr int kQueries = kStreamed<P>;
  extern __shared__ __align__(16) bf16_t shared[];
  const Tile<P> k{shared}, v{k.end(kOwnedRows)};
  const Stages<P> queries{v.end(kOwnedRows)};
  RowTerms* terms = reinterpret_cast<RowTerms*>(v.end(kOwnedRows + 4 * kQueries));  // [2, kQueries]
  const LanePlace at;
  const Unit unit(blockIdx.x, (in.Tk + kOwnedRows - 1) / kOwnedRows, in.Hkv);
  const int b = unit.batch, first = unit.tile * kOwnedRows;
  const Visible visible(in, b);
  load_rows_async<kOwnedRows>(k, in.k.head(b, unit.head), in.k.t_stride, first, visible.keys, in.packed);
  load_rows_async<kOwnedRows>(v, in.v.head(b, unit.head), in.v.t_stride, first, visible.keys, in.packed);

  // The tiles of all queries, of all query heads of this key head, that see any of these keys.
  const int first_query = first < visible.keys ? visible.first_query(first) : in.Tq;
  const int tiles = first_query < in.Tq ? (in.Tq - first_query + kQueries - 1) / kQueries : 0;
  const auto load_queries = [&](int tile, int stage) {
    const int h = unit.head * in.group + tile / tiles, query = first_query + tile % tiles * kQueries;
    load_rows_async<kQueries>(queries.first(stage), in.q.head(b, h), in.q.t_stride, query, in.Tq, in.packed);
    load_rows_async<kQueries>(queries.second(stage), grads.dy.head(b, h), grads.dy.t_stride, query, in.Tq, in.packed);
    const RowTerms* from = grads.terms + (int64_t{b} * in.Hq + h) * in.Tq;
    const int j = static_cast<int>(threadIdx.x);
    const bool exists = query + j < in.Tq;
    if (j < kQueries)
      copy_async<sizeof(RowTerms)>(terms + stage * kQueries + j, from + (exists ? query + j : 0),
                                   exists ? static_cast<int>(sizeof(RowTerms)) : 0);
  };
  if (tiles > 0) load_queries(0, 0);
  commit_copies();

  float dk[P / 8][4] = {}, dv[P / 8][4] = {};
  for (int tile = 0, stage = 0; tile < tiles * in.group; ++tile, stage ^= 1) {
    if (tile + 1 < tiles * in.group) load_queries(tile + 1, stage ^ 1);
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();  // this tile is there
    const int query = first_query + tile % tiles * kQueries;
#pragma unroll 1
    for (int part = 0; part < kQueries; part += kPart<P>) {
      const Tile<P> q{queries.first(stage).end(part)}, dy{queries.second(stage).end(part)};
      float s[kPart<P> / 8][4], dp[kPart<P> / 8][4];  // transposed: rows are keys, columns queries
      multiply_rows(s, k, q, at);
      multiply_rows(dp, v, dy, at);
#pragma unroll
      for (int n = 0; n < kPart<P> / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int column = part + 8 * n + at.pair + e % 2;
          const RowTerms term = terms[stage * kQueries + column];
          // Rows of q and dy behind Tq are 0, and so are their terms: p = 1 adds nothing there.
          const bool sees = first + at.row0 + at.quad + e / 2 * 8 < visible.of(query + column);
          s[n][e] = sees ? exp2f(in.scale_log2 * s[n][e] - term.x) : 0;  // now p
          dp[n][e] = sees ? s[n][e] * (dp[n][e] - term.y) : 0;           // now ds
        }
      add_weighted_rows(dv, s, dy, at);
      add_weighted_rows(dk, dp, q, at);
    }
    __syncthreads();  // nobody reads this tile any more
  }
  wait_for_copies<0>();
  __syncthreads();
  store_rows<P>(grads.dk.head(b, unit.head), grads.dk.t_stride, first, in.Tk, dk, in.scale, in.scale, k, at);
  store_rows<P>(grads.dv.head(b, unit.head), grads.dv.t_stride, first, in.Tk, dv, 1, 1, v, at);
}

}  // namespace

void backward_v3(const Inputs<bf16_t>& in, int B, const Gradients<bf16_t>& grads) {
  visit_width(in.P, [&]<int P>() {
    const auto query_blocks = static_cast<unsigned>(ceil_div(in.Tq, kOwnedRows) * in.Hq * B);
    allow_shared_bytes(attention_dq_v3<P>, kSharedBytes<P>);
    attention_dq_v3<P><<<query_blocks, kTensorThreads, kSharedBytes<P>, cuda_stream()>>>(in, grads);
    VIGOR_CUDA_CHECK_LAUNCH("attention_dq_v3");
    const auto key_blocks = static_cast<unsigned>(ceil_div(in.Tk, kOwnedRows) * in.Hkv * B);
    constexpr int kBytes = kSharedBytes<P> + kTermBytes<P>;
    allow_shared_bytes(attention_dkv_v3<P>, kBytes);
    attention_dkv_v3<P><<<key_blocks, kTensorThreads, kBytes, cuda_stream()>>>(in, grads);
  });
  VIGOR_CUDA_CHECK_LAUNCH("attention_dkv_v3");
}

}  // namespace vigor::attention_cuda
