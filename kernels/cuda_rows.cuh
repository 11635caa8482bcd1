#pragma once
// Rows that are read once and stay in registers: the threads of a warp share a narrow row, those of a block a wide one.
// For the normalisations and softmax.
//
// Each thread owns up to kRowElements elements of a row, in 16-byte packs, as floats. Pack p of a team of n threads
// begins at column (p n + rank) N, so that neighbouring threads read neighbouring packs.
#include "tensor/cuda_kernel.cuh"

namespace vigor {

inline constexpr int kRowElements = 16;  // backward holds four such arrays: more would spill at 128 registers
inline constexpr int kWarpRowColumns = kRowElements * kWarpSize;  // 512
inline constexpr int kMaxRowThreads = 512;
inline constexpr int kBlockRowColumns = kRowElements * kMaxRowThreads;  // 8192
inline constexpr int kWarpsPerBlock = 8;                                // where a warp owns a row

template <class T>
inline constexpr int kRowPacks = kRowElements / kPackElements<T>;

// N neighbouring elements as floats, in reads of at most 16 bytes: parameters may be f32 beside packs of 8 bf16.
template <int N, class T>
__device__ void load_floats(float (&to)[N], const T* from) {
  constexpr int M = N < kPackElements<T> ? N : kPackElements<T>;
#pragma unroll
  for (int i = 0; i < N; i += M) {
    const auto pack = load_pack<M>(from + i);
#pragma unroll
    for (int j = 0; j < M; ++j) to[i + j] = to_float(pack.value[j]);
  }
}
template <int N, class T>
__device__ void store_floats(T* to, const float (&from)[N]) {
  constexpr int M = N < kPackElements<T> ? N : kPackElements<T>;
#pragma unroll
  for (int i = 0; i < N; i += M) {
    Pack<T, M> pack;
#pragma unroll
    for (int j = 0; j < M; ++j) pack.value[j] = from_float<T>(from[i + j]);
    store_pack<M>(to + i, pack);
  }
}

// What a thread holds of a row of T.
template <class T>
using RowValues = float[kRowPacks<T>][kPackElements<T>];

enum class RowOwner { warp, block };

// The threads that share a row. All of them must take part in sum() and max().
template <RowOwner kOwner>
struct RowTeam {
  int threads, rank;
  int64_t index, count;  // of the team in the grid

  __device__ RowTeam() {
    if constexpr (kOwner == RowOwner::block) {
      threads = static_cast<int>(blockDim.x);
      rank = static_cast<int>(threadIdx.x);
      index = blockIdx.x;
      count = gridDim.x;
    } else {
      threads = kWarpSize;
      rank = static_cast<int>(threadIdx.x) % kWarpSize;
      index = global_thread() / kWarpSize;
      count = global_threads() / kWarpSize;
    }
  }

  __device__ int index_in_block() const {
    return kOwner == RowOwner::warp ? static_cast<int>(threadIdx.x) / kWarpSize : 0;
  }
  __device__ int count_in_block() const {
    return kOwner == RowOwner::warp ? static_cast<int>(blockDim.x) / kWarpSize : 1;
  }

  // f(p, column) for each pack of this thread that lies in the row.
  template <class T, class F>
  __device__ void for_each_pack(int columns, F&& f) const {
#pragma unroll
    for (int p = 0; p < kRowPacks<T>; ++p) {
      const int column = (p * threads + rank) * kPackElements<T>;
      if (column < columns) f(p, column);
    }
  }

  // The same for each element: f(value, column). Elements outside the row are skipped.
  template <class T, class F>
  __device__ void for_each(RowValues<T>& x, int columns, F&& f) const {
    for_each_pack<T>(columns, [&](int p, int column) {
#pragma unroll
      for (int j = 0; j < kPackElements<T>; ++j) f(x[p][j], column + j);
    });
  }

  template <class T>
  __device__ void load(RowValues<T>& x, const T* row, int columns) const {
    for_each_pack<T>(columns, [&](int p, int column) { load_floats(x[p], row + column); });
  }
  template <class T>
  __device__ void store(T* row, const RowValues<T>& y, int columns) const {
    for_each_pack<T>(columns, [&](int p, int column) { store_floats(row + column, y[p]); });
  }

  // `shared` holds a float for each warp of the block; unused by a team of one warp.
  __device__ float sum(float x, float* shared) const {
    if constexpr (kOwner == RowOwner::block) return block_sum(x, shared);
    else return warp_sum(x);
  }
};

// sums [C], at a multiple of 16 bytes = what the teams of this block have added up for each column, in the order of the
// teams.
template <RowOwner kOwner, class T>
__device__ void store_block_sums(float* sums, const RowValues<T>& values, int columns) {
  constexpr int N = kPackElements<float>;
  const RowTeam<kOwner> team;
  // f(pack of four sums, column)
  const auto for_each_four = [&](auto&& f) {
    team.template for_each_pack<T>(columns, [&](int p, int column) {
#pragma unroll
      for (int i = 0; i < kPackElements<T>; i += N) {
        Pack<float, N> four;
#pragma unroll
        for (int j = 0; j < N; ++j) four.value[j] = values[p][i + j];
        f(four, column + i);
      }
    });
  };
  if constexpr (kOwner == RowOwner::block) {
    for_each_four([&](const Pack<float, N>& four, int column) { store_pack<N>(sums + column, four); });
  } else {
    __shared__ alignas(kPackBytes) float added[kWarpRowColumns];
    for (int turn = 0; turn < team.count_in_block(); ++turn) {
      if (turn == team.index_in_block())
        for_each_four([&](Pack<float, N>& four, int column) {
          if (turn > 0) {
            const Pack<float, N> before = load_pack<N>(added + column);
#pragma unroll
            for (int j = 0; j < N; ++j) four.value[j] = before.value[j] + four.value[j];
          }
          store_pack<N>(added + column, four);
        });
      __syncthreads();
    }
    for (int c = static_cast<int>(threadIdx.x); c < columns; c += static_cast<int>(blockDim.x)) sums[c] = added[c];
    __syncthreads();  // the next call writes there again
  }
}

// True when rows of T that start at `data` can be held in this way.
template <class T>
bool rows_fit(const void* data, int64_t columns) {
  return columns <= kBlockRowColumns && packs_fit<T>(data, columns);
}

// Calls launch.template operator()<owner>(threads, rows of a block).
template <class F>
void choose_row_owner(int64_t columns, F&& launch) {
  if (columns <= kWarpRowColumns) {
    launch.template operator()<RowOwner::warp>(kWarpsPerBlock * kWarpSize, kWarpsPerBlock);
  } else {
    const int64_t warps = ceil_div(columns, kWarpRowColumns);
    launch.template operator()<RowOwner::block>(static_cast<int>(warps) * kWarpSize, 1);
  }
}

}  // namespace vigor
