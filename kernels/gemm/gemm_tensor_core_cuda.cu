// Version 4 of our own product: bf16 on tensor cores.
//
// A block of 8 warps computes a tile of 128 x 128; a warp 64 x 32 of it, in 4 x 4 pieces of 16 x 8. What is new:
//   mma.sync    a warp multiplies 16 x 16 by 16 x 8 in one instruction, with f32 sums spread over its lanes
//   ldmatrix    fetches four 8 x 8 blocks from shared memory into just the lanes where mma.sync wants them, and can
//               transpose them on the way: matrices stay in shared memory as they were in memory
//   cp.async    copies from memory to shared memory past the registers; with two buffers the copy of the next tiles
//               runs while these are multiplied
// Memory: 128 uses of each 2-byte element, 0.031 bytes a multiply-add. Shared memory: a warp reads (64 + 32) * 16
// elements for 64 * 32 * 16 multiply-adds, 0.094 bytes each.
#include <algorithm>

#include "kernels/gemm/gemm_own_cuda.h"
#include "kernels/tensor_core_cuda.cuh"

namespace vigor {
namespace {

using bf16_t = __nv_bfloat16;

constexpr int kTile = 128;  // of both m and n
constexpr int kDepth = 32;  // of k at a time
constexpr int kThreads = 256;
constexpr int kWarpM = 64, kWarpN = 32;
constexpr int kPack = kPackElements<bf16_t>;  // 8 elements, 16 bytes

// One operand: kTile x kDepth elements of op(X), kept in shared memory as they lie in memory, but for the order of the
// packs in a row: it differs from row to row ("swizzled"), so that the 8 rows of a block, which ldmatrix reads at once,
// are in different banks.
template <bool kDepthContiguous>
struct Operand {
  static constexpr int kRows = kDepthContiguous ? kTile : kDepth;
  static constexpr int kColumns = kDepthContiguous ? kDepth : kTile;
  static constexpr int kElements = kRows * kColumns;

  const bf16_t* data;
  int64_t ld, length, depth;  // op(X) is [length, depth]
  bool packs;                 // rows begin at multiples of 16 bytes

  // Where a pack of a row is. A row of 32 elements fills half of the 128 bytes of all banks, one of 128 two times.
  static __device__ int place(int row, int pack) {
    return row * kColumns + (pack ^ (kDepthContiguous ? row / 2 % 4 : row % 8)) * kPack;
  }

  // Starts the copy of the tile at (x0, p0); 0 outside of the matrix.
  __device__ void fetch(bf16_t* tile, int64_t x0, int64_t p0) const {
    const int64_t row0 = kDepthContiguous ? x0 : p0, rows = kDepthContiguous ? length : depth;
    const int64_t column0 = kDepthContiguous ? p0 : x0, columns = kDepthContiguous ? depth : length;
    constexpr int kPacksPerRow = kColumns / kPack;
    for (int at = static_cast<int>(threadIdx.x); at < kRows * kPacksPerRow; at += kThreads) {
      const int r = at / kPacksPerRow, pack = at % kPacksPerRow;
      const int64_t row = row0 + r, column = column0 + pack * kPack;
      const int64_t left = row < rows ? columns - column : 0;
      const int count = left <= 0 ? 0 : left < kPack ? static_cast<int>(left) : kPack;
      const bf16_t* const from = count > 0 ? data + row * ld + column : data;
      bf16_t* const to = tile + place(r, pack);
      if (packs) {
        copy_async<16>(to, from, count * static_cast<int>(sizeof(bf16_t)));
      } else {
        Pack<bf16_t, kPack> values;
        for (int e = 0; e < kPack; ++e) values.value[e] = e < count ? from[e] : from_float<bf16_t>(0.0f);
        store_pack(to, values);
      }
    }
  }

  // 16 x 16 elements of the tile from (x, p) on, as blocks that begin at (x, p) + (0|8, 0|8). The second block is 8
  // further along x for A, and along p for B, as mma.sync numbers its operands.
  template <bool kSecondAlongX>
  static __device__ void blocks_at(uint32_t (&blocks)[4], const bf16_t* tile, int x, int p) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int r = lane % 8, second = lane / 8 % 2 * 8, third = lane / 16 * 8;
    const int bx = x + (kSecondAlongX ? second : third), bp = p + (kSecondAlongX ? third : second);
    if constexpr (kDepthContiguous) load_matrices<false>(blocks, tile + place(bx + r, bp / kPack));
    else load_matrices<true>(blocks, tile + place(bp + r, bx / kPack));
  }
};

// Two neighbours at once. As a Pack the compiler stores some of them one by one.
__device__ void store_pair(float* c, float first, float second) {
  __stwb(reinterpret_cast<float2*>(c), make_float2(first, second));
}
__device__ void store_pair(bf16_t* c, bf16_t first, bf16_t second) {
  __stwb(reinterpret_cast<__nv_bfloat162*>(c), __halves2bfloat162(first, second));
}

// What goes to column j of C, whose old value is at `c`.
template <class C>
__device__ C finished(const OwnGemm& g, float sum, const C* c, int64_t j) {
  if (g.accumulate) sum += to_float(*c);
  if (g.bias != nullptr) sum += to_float(static_cast<const C*>(g.bias)[j]);
  return from_float<C>(sum);
}

// A warp's sums to C from (i0, j0) on. Lane 4 r + q holds rows r and r + 8 of each piece, in columns 2 q and 2 q + 1,
// which are stored at once where pairs are aligned and the warp's part lies inside of C.
template <class C>
__device__ void store_sums(const OwnGemm& g, const float (&sums)[4][4][4], int64_t i0, int64_t j0, bool pairs_aligned) {
  C* const matrix = static_cast<C*>(g.c) + blockIdx.z * g.c_batch;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const bool whole = pairs_aligned && i0 + kWarpM <= g.m && j0 + kWarpN <= g.n;
#pragma unroll
  for (int u = 0; u < 4; ++u)
#pragma unroll
    for (int v = 0; v < 4; ++v)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t i = i0 + u * 16 + half * 8 + lane / 4, j = j0 + v * 8 + lane % 4 * 2;
        const float first = sums[u][v][half * 2], second = sums[u][v][half * 2 + 1];
        C* const c = matrix + i * g.ldc + j;
        if (whole) {
          store_pair(c, finished(g, first, c, j), finished(g, second, c + 1, j + 1));
        } else if (i < g.m) {
          if (j < g.n) c[0] = finished(g, first, c, j);
          if (j + 1 < g.n) c[1] = finished(g, second, c + 1, j + 1);
        }
      }
}

template <bool kDepthContiguousA, bool kDepthContiguousB>
__global__ void __launch_bounds__(kThreads) gemm_v4_kernel(OwnGemm g, bool packs_a, bool packs_b, bool pairs_c) {
  using OperandA = Operand<kDepthContiguousA>;
  using OperandB = Operand<kDepthContiguousB>;
  __shared__ alignas(16) bf16_t a_tiles[2][OperandA::kElements], b_tiles[2][OperandB::kElements];
  const OperandA a{static_cast<const bf16_t*>(g.a) + blockIdx.z * g.a_batch, kDepthContiguousA ? g.a_row : g.a_column,
                   g.m, g.k, packs_a};
  const OperandB b{static_cast<const bf16_t*>(g.b) + blockIdx.z * g.b_batch, kDepthContiguousB ? g.b_column : g.b_row,
                   g.n, g.k, packs_b};
  const auto across = static_cast<unsigned>((g.n + kTile - 1) / kTile);
  const int64_t i0 = int64_t{blockIdx.x / across} * kTile, j0 = int64_t{blockIdx.x % across} * kTile;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int warp_i = warp / 4 * kWarpM, warp_j = warp % 4 * kWarpN;  // the warp's part of the tile

  float sums[4][4][4] = {};
  a.fetch(a_tiles[0], i0, 0);
  b.fetch(b_tiles[0], j0, 0);
  commit_copies();
  int stage = 0;
  for (int64_t p0 = 0; p0 < g.k; p0 += kDepth, stage ^= 1) {
    if (p0 + kDepth < g.k) {
      a.fetch(a_tiles[stage ^ 1], i0, p0 + kDepth);
      b.fetch(b_tiles[stage ^ 1], j0, p0 + kDepth);
    }
    commit_copies();       // an empty group behind the last tile keeps the count
    wait_for_copies<1>();  // this thread's part of the present tiles has arrived,
    __syncthreads();       // and everybody's
#pragma unroll
    for (int p = 0; p < kDepth; p += 16) {
      uint32_t b_blocks[2][4];
      for (int v = 0; v < 2; ++v) OperandB::template blocks_at<false>(b_blocks[v], b_tiles[stage], warp_j + v * 16, p);
#pragma unroll
      for (int u = 0; u < 4; ++u) {
        uint32_t a_blocks[4];
        OperandA::template blocks_at<true>(a_blocks, a_tiles[stage], warp_i + u * 16, p);
#pragma unroll
        for (int v = 0; v < 4; ++v)
          multiply_add(sums[u][v], a_blocks, b_blocks[v / 2][v % 2 * 2], b_blocks[v / 2][v % 2 * 2 + 1]);
      }
    }
    __syncthreads();  // the next round overwrites these tiles
  }
  if (g.c_dtype == Dtype::f32) store_sums<float>(g, sums, i0 + warp_i, j0 + warp_j, pairs_c);
  else store_sums<bf16_t>(g, sums, i0 + warp_i, j0 + warp_j, pairs_c);
}

bool rows_are_aligned(const void* data, int64_t ld, int64_t batch_stride) {
  return packs_fit<bf16_t>(data, ld) && batch_stride % kPack == 0;
}

}  // namespace

void gemm_tensor_core_cuda(const OwnGemm& g) {
  const dim3 grid(static_cast<unsigned>(ceil_div(g.m, kTile) * ceil_div(g.n, kTile)), 1,
                  static_cast<unsigned>(g.count));
  const bool pairs =
      reinterpret_cast<uintptr_t>(g.c) % (2 * size_of(g.c_dtype)) == 0 && g.ldc % 2 == 0 && g.c_batch % 2 == 0;
  const auto launch = [&](auto kernel) {
    kernel<<<grid, kThreads, 0, cuda_stream()>>>(g, rows_are_aligned(g.a, std::max(g.a_row, g.a_column), g.a_batch),
                                                 rows_are_aligned(g.b, std::max(g.b_row, g.b_column), g.b_batch),
                                                 pairs);
  };
  const bool a = g.a_column == 1, b = g.b_row == 1;
  if (a && b) launch(gemm_v4_kernel<true, true>);
  else if (a) launch(gemm_v4_kernel<true, false>);
  else if (b) launch(gemm_v4_kernel<false, true>);
  else launch(gemm_v4_kernel<false, false>);
}

}  // namespace vigor
