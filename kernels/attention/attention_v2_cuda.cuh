#pragma once
// The tile products of version 2. A block of 16 x 16 threads multiplies tiles of f32 rows in shared memory; thread
// (y, x) owns rows y + 16 i of the left tile and, of the product, columns x + 16 j or a few neighbouring channels. The
// 16 threads of a row are half a warp: sums over a row are shuffles, and what one thread writes of a row only its own
// warp reads.
#include "kernels/attention/attention_cuda.cuh"

namespace vigor::attention_cuda {

inline constexpr int kSide = 16;  // threads a row and a column of the block
inline constexpr int kTiledThreads = kSide * kSide;

// The place of a thread in its block.
struct Place {
  int y = static_cast<int>(threadIdx.x) / kSide;
  int x = static_cast<int>(threadIdx.x) % kSide;
};

// Rows of kColumns floats in shared memory. The four floats of padding make eight rows that start 16 bytes apart in
// distinct banks, and keep rows on 16 bytes.
template <int kColumns>
struct FloatTile {
  static constexpr int kStride = kColumns + 4;
  float* data;
  __device__ float* row(int r) const { return data + r * kStride; }
  static constexpr int bytes(int rows) { return rows * kStride * static_cast<int>(sizeof(float)); }
};

// Channels c of thread x in a row of P: runs of at most four, so that a warp reads whole lines of 16-byte packs.
template <int P>
struct Channels {
  static constexpr int kCount = P / kSide;
  static constexpr int kRun = kCount < 4 ? kCount : 4;
  static constexpr int kRuns = kCount / kRun;
  static __device__ int start(int x, int run) { return (run * kSide + x) * kRun; }
};

// Rows first .. first + kRows - 1 of a head, as floats; rows at or behind `end` become 0: whatever lies there, a
// weight of 0 must not meet a NaN.
template <int kRows, int P, class T>
__device__ void load_rows(const FloatTile<P>& tile, const T* head, int64_t stride, int first, int end, bool packed) {
  constexpr int kPack = kPackElements<T>;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * (P / kPack); i += kTiledThreads) {
    const int row = i / (P / kPack), channel = i % (P / kPack) * kPack;
    float* to = tile.row(row) + channel;
    if (first + row >= end) {
      for (int c = 0; c < kPack; ++c) to[c] = 0;
      continue;
    }
    const T* from = head + (first + row) * stride + channel;
    Pack<T, kPack> pack;
    if (packed) pack = load_pack<kPack>(from);
    else
      for (int c = 0; c < kPack; ++c) pack.value[c] = from[c];
    for (int c = 0; c < kPack; c += 4)
      store_pack<4>(to + c, Pack<float, 4>{to_float(pack.value[c]), to_float(pack.value[c + 1]),
                                           to_float(pack.value[c + 2]), to_float(pack.value[c + 3])});
  }
}

// products[i][j] = row y + 16 i of a . row x + 16 j of b.
template <int kI, int kJ, int P>
__device__ void multiply_rows(float (&products)[kI][kJ], const FloatTile<P>& a, const FloatTile<P>& b, Place at) {
#pragma unroll
  for (int i = 0; i < kI; ++i)
#pragma unroll
    for (int j = 0; j < kJ; ++j) products[i][j] = 0;
#pragma unroll 2
  for (int c = 0; c < P; c += 4) {
    Pack<float, 4> left[kI], right[kJ];
#pragma unroll
    for (int i = 0; i < kI; ++i) left[i] = load_pack<4>(a.row(at.y + kSide * i) + c);
#pragma unroll
    for (int j = 0; j < kJ; ++j) right[j] = load_pack<4>(b.row(at.x + kSide * j) + c);
#pragma unroll
    for (int i = 0; i < kI; ++i)
#pragma unroll
      for (int j = 0; j < kJ; ++j)
#pragma unroll
        for (int n = 0; n < 4; ++n) products[i][j] += left[i].value[n] * right[j].value[n];
  }
}

template <int kI, int kJ, int kColumns>
__device__ void store_weights(const FloatTile<kColumns>& tile, const float (&weights)[kI][kJ], Place at) {
#pragma unroll
  for (int i = 0; i < kI; ++i)
#pragma unroll
    for (int j = 0; j < kJ; ++j) tile.row(at.y + kSide * i)[at.x + kSide * j] = weights[i][j];
}

// sums[i][c] += row y + 16 i of the weights times channel c (of this thread) of all kRows rows of b.
template <int kI, int kRows, int P>
__device__ void add_weighted_rows(float (&sums)[kI][Channels<P>::kCount], const FloatTile<kRows>& weights,
                                  const FloatTile<P>& b, Place at) {
  using Mine = Channels<P>;
#pragma unroll 1
  for (int j = 0; j < kRows; j += 4) {
    Pack<float, 4> left[kI];
#pragma unroll
    for (int i = 0; i < kI; ++i) left[i] = load_pack<4>(weights.row(at.y + kSide * i) + j);
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int run = 0; run < Mine::kRuns; ++run) {
        const Pack<float, Mine::kRun> right = load_pack<Mine::kRun>(b.row(j + n) + Mine::start(at.x, run));
#pragma unroll
        for (int i = 0; i < kI; ++i)
#pragma unroll
          for (int c = 0; c < Mine::kRun; ++c) sums[i][run * Mine::kRun + c] += left[i].value[n] * right.value[c];
      }
  }
}

// This thread's channels of one row, times factor.
template <int P, class T>
__device__ void store_channels(T* row, const float (&sums)[Channels<P>::kCount], float factor, Place at) {
  using Mine = Channels<P>;
#pragma unroll
  for (int run = 0; run < Mine::kRuns; ++run) {
    Pack<T, Mine::kRun> pack;
#pragma unroll
    for (int c = 0; c < Mine::kRun; ++c) pack.value[c] = from_float<T>(factor * sums[run * Mine::kRun + c]);
    store_pack<Mine::kRun>(row + Mine::start(at.x, run), pack);
  }
}

}  // namespace vigor::attention_cuda
