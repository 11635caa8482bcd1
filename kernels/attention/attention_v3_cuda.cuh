#pragma once
// The tile products of version 3: bf16 tiles in shared memory, multiplied by tensor cores into f32 registers.
//
// A warp owns 16 rows of the left tile. The instruction mma.m16n8k16 multiplies a 16 x 16 by a 16 x 8 matrix, spread
// over the lanes of a warp as the PTX manual draws it ("Matrix Fragments for mma.m16n8k16"). With quad = lane / 4 and
// pair = lane % 4 * 2, lane holds
//   a (16 x 16), 4 registers of 2     rows quad, quad + 8 at columns pair, pair + 1; then both at columns pair + 8, + 9
//   b (16 x 8),  2 registers of 2     column quad at rows pair, pair + 1; then pair + 8, + 9
//   c (16 x 8),  4 floats             row quad at columns pair, pair + 1; then row quad + 8
// So two neighbouring tiles of c, rounded to bf16, are an a: weights go from the first product to the second without
// leaving their registers.
#include "kernels/attention/attention_cuda.cuh"
#include "kernels/tensor_core_cuda.cuh"

namespace vigor::attention_cuda {

using bf16_t = __nv_bfloat16;

inline constexpr int kWarps = 4;
inline constexpr int kTensorThreads = kWarps * kWarpSize;
inline constexpr int kRowsPerWarp = 16;
inline constexpr int kOwnedRows = kWarps * kRowsPerWarp;  // of a block

// The place of a thread: its warp's first row, and its quad and pair as above.
struct LanePlace {
  int row0 = static_cast<int>(threadIdx.x) / kWarpSize * kRowsPerWarp;
  int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  int quad = lane / 4;
  int pair = lane % 4 * 2;
};

// Rows of P bf16 in shared memory, in chunks of 16 bytes. ldmatrix reads the same chunk of eight neighbouring rows: the
// exclusive or puts those in different banks.
template <int P>
struct Tile {
  static constexpr int kChunks = P / 8;  // a row
  static constexpr int kMask = (kChunks < 8 ? kChunks : 8) - 1;
  static constexpr int kShift = kChunks >= 8 ? 0 : kChunks == 4 ? 1 : 2;  // rows that share the 128 bytes of all banks
  bf16_t* data;
  __device__ bf16_t* chunk(int row, int c) const { return data + row * P + (c ^ (row >> kShift & kMask)) * 8; }
  __device__ bf16_t* end(int rows) const { return data + rows * P; }
  static constexpr int bytes(int rows) { return rows * P * static_cast<int>(sizeof(bf16_t)); }
};

__device__ inline uint32_t pack_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// ---- tiles ----

// Starts to load rows first .. first + kRows - 1 of a head; those at or behind `end` become 0: whatever lies there, a
// weight of 0 must not meet a NaN. Rows that do not start on 16 bytes are copied element by element.
template <int kRows, int P>
__device__ void load_rows_async(Tile<P> tile, const bf16_t* head, int64_t stride, int first, int end, bool packed) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * Tile<P>::kChunks; i += kTensorThreads) {
    const int row = i / Tile<P>::kChunks, chunk = i % Tile<P>::kChunks;
    const bool exists = first + row < end;
    const bf16_t* from = head + (exists ? (first + row) * stride + chunk * 8 : 0);
    bf16_t* to = tile.chunk(row, chunk);
    if (packed) copy_async<16>(to, from, exists ? 16 : 0);
    else
      for (int c = 0; c < 8; ++c) to[c] = exists ? from[c] : bf16_t(0.0f);
  }
}

// c = the warp's rows of a times all rows of b, transposed: kTiles tiles of 8 columns.
template <int kTiles, int P>
__device__ void multiply_rows(float (&c)[kTiles][4], Tile<P> a, Tile<P> b, const LanePlace& at) {
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) c[n][e] = 0;
#pragma unroll
  for (int k = 0; k < P / 16; ++k) {
    uint32_t left[4];
    load_matrices<false>(left, a.chunk(at.row0 + at.lane % 16, 2 * k + at.lane / 16));
#pragma unroll
    for (int n = 0; n < kTiles; n += 2) {  // matrices: both halves of k for 8 rows of b, then for the next 8
      uint32_t right[4];
      load_matrices<false>(right, b.chunk(8 * n + at.lane % 8 + at.lane / 16 * 8, 2 * k + at.lane / 8 % 2));
      multiply_add(c[n], left, right[0], right[1]);
      multiply_add(c[n + 1], left, right[2], right[3]);
    }
  }
}

// sums += the warp's weights, rounded to bf16, times all 8 kTiles rows of b.
template <int kTiles, int P>
__device__ void add_weighted_rows(float (&sums)[P / 8][4], const float (&weights)[kTiles][4], Tile<P> b,
                                  const LanePlace& at) {
#pragma unroll
  for (int k = 0; k < kTiles / 2; ++k) {
    const float(&w0)[4] = weights[2 * k], (&w1)[4] = weights[2 * k + 1];
    const uint32_t left[4] = {pack_pair(w0[0], w0[1]), pack_pair(w0[2], w0[3]), pack_pair(w1[0], w1[1]),
                              pack_pair(w1[2], w1[3])};
#pragma unroll
    for (int n = 0; n < P / 8; n += 2) {  // matrices: both halves of k for 8 channels, then for the next 8
      uint32_t right[4];
      load_matrices<true>(right, b.chunk(16 * k + at.lane % 16, n + at.lane / 16));
      multiply_add(sums[n], left, right[0], right[1]);
      multiply_add(sums[n + 1], left, right[2], right[3]);
    }
  }
}

// The warp's 16 rows, times a factor for row quad and one for row quad + 8, to rows first + row0 .. of `to` before
// `end`. They go through the warp's own rows of `stage`, so that every store is 16 bytes; only this warp may have read
// those.
template <int P>
__device__ void store_rows(bf16_t* to, int64_t stride, int first, int end, const float (&sums)[P / 8][4], float factor0,
                           float factor1, Tile<P> stage, const LanePlace& at) {
  __syncwarp();
#pragma unroll
  for (int n = 0; n < P / 8; ++n) {
    const int row = at.row0 + at.quad;
    *reinterpret_cast<uint32_t*>(stage.chunk(row, n) + at.pair) = pack_pair(factor0 * sums[n][0], factor0 * sums[n][1]);
    *reinterpret_cast<uint32_t*>(stage.chunk(row + 8, n) + at.pair) =
        pack_pair(factor1 * sums[n][2], factor1 * sums[n][3]);
  }
  __syncwarp();
  for (int i = at.lane; i < kRowsPerWarp * Tile<P>::kChunks; i += kWarpSize) {
    const int row = at.row0 + i / Tile<P>::kChunks, chunk = i % Tile<P>::kChunks;
    if (first + row < end)
      store_pack<8>(to + (first + row) * stride + chunk * 8, load_pack<8>(stage.chunk(row, chunk)));
  }
}

}  // namespace vigor::attention_cuda
