// Versions 1 to 3 of our own product; gemm_own_cuda.h says what each step gains.
#include <algorithm>

#include "kernels/gemm/gemm_own_cuda.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int64_t kMaxGridZ = 65535;

template <class T>
__device__ const T* matrix_of_batch(const void* first, int64_t stride) {
  return static_cast<const T*>(first) + blockIdx.z * stride;
}

// Stores one sum into C, which is f32 or bf16.
template <class C>
__device__ void store_sum_as(const OwnGemm& g, int64_t i, int64_t j, float sum) {
  C* const c = static_cast<C*>(g.c) + blockIdx.z * g.c_batch + i * g.ldc + j;
  if (g.accumulate) sum += to_float(*c);
  if (g.bias != nullptr) sum += to_float(static_cast<const C*>(g.bias)[j]);
  *c = from_float<C>(sum);
}
__device__ void store_sum(const OwnGemm& g, int64_t i, int64_t j, float sum) {
  if (g.c_dtype == Dtype::f32) store_sum_as<float>(g, i, j, sum);
  else store_sum_as<__nv_bfloat16>(g, i, j, sum);
}

// The tile of a block, counted along the rows of C: grid x alone may be as large as 2^31.
struct TileStart {
  int64_t i, j;
  __device__ TileStart(const OwnGemm& g, int tile_m, int tile_n) {
    const auto across = static_cast<unsigned>((g.n + tile_n - 1) / tile_n);
    i = int64_t{blockIdx.x / across} * tile_m;
    j = int64_t{blockIdx.x % across} * tile_n;
  }
};

// ---- version 1: a thread walks along a row of A and a column of B for one element of C ----
// Each multiply-add reads both factors from memory, 8 bytes in f32. The lanes of a warp have one row of A and
// neighbouring columns of B, so that each read of a warp is one or a few whole lines (unless B is transposed), and the
// caches catch much of it.
constexpr int kV1Rows = 8, kV1Columns = kWarpSize;

template <class A, class B>
__global__ void __launch_bounds__(kV1Rows* kV1Columns) gemm_v1_kernel(OwnGemm g) {
  const TileStart start(g, kV1Rows, kV1Columns);
  const int64_t i = start.i + threadIdx.y, j = start.j + threadIdx.x;
  if (i >= g.m || j >= g.n) return;
  const A* const a = matrix_of_batch<A>(g.a, g.a_batch) + i * g.a_row;
  const B* const b = matrix_of_batch<B>(g.b, g.b_batch) + j * g.b_column;
  float sum = 0;
  for (int64_t p = 0; p < g.k; ++p) sum += to_float(a[p * g.a_column]) * to_float(b[p * g.b_row]);
  store_sum(g, i, j, sum);
}

// ---- version 2: a block fetches tiles of A and B once and uses each element 32 times ----
// 0.25 bytes of memory a multiply-add. The tiles are read along the direction that is contiguous in memory, whichever
// that is. Each multiply-add now waits for two reads of shared memory, which is the new limit.
constexpr int kV2Tile = 32;

// tile[x][y] = matrix(x0 + x, y0 + y), 0 outside of rows x columns.
template <class T>
__device__ void fetch_tile(float (&tile)[kV2Tile][kV2Tile + 1], const T* matrix, int64_t x0, int64_t rows,
                           int64_t row_stride, int64_t y0, int64_t columns, int64_t column_stride) {
  const bool along_rows = column_stride == 1;
  const int x = static_cast<int>(along_rows ? threadIdx.y : threadIdx.x);
  const int y = static_cast<int>(along_rows ? threadIdx.x : threadIdx.y);
  const bool inside = x0 + x < rows && y0 + y < columns;
  // The odd row length of the tile puts both directions into 32 different banks.
  tile[x][y] = inside ? to_float(matrix[(x0 + x) * row_stride + (y0 + y) * column_stride]) : 0.0f;
}

template <class A, class B>
__global__ void __launch_bounds__(kV2Tile* kV2Tile) gemm_v2_kernel(OwnGemm g) {
  __shared__ float a_tile[kV2Tile][kV2Tile + 1], b_tile[kV2Tile][kV2Tile + 1];
  const TileStart start(g, kV2Tile, kV2Tile);
  const A* const a = matrix_of_batch<A>(g.a, g.a_batch);
  const B* const b = matrix_of_batch<B>(g.b, g.b_batch);
  float sum = 0;
  for (int64_t p0 = 0; p0 < g.k; p0 += kV2Tile) {
    fetch_tile(a_tile, a, start.i, g.m, g.a_row, p0, g.k, g.a_column);
    fetch_tile(b_tile, b, p0, g.k, g.b_row, start.j, g.n, g.b_column);
    __syncthreads();
    for (int p = 0; p < kV2Tile; ++p) sum += a_tile[threadIdx.y][p] * b_tile[p][threadIdx.x];
    __syncthreads();  // all have read the tiles that the next round overwrites
  }
  const int64_t i = start.i + threadIdx.y, j = start.j + threadIdx.x;
  if (i < g.m && j < g.n) store_sum(g, i, j, sum);
}

// ---- version 3: a thread keeps 8 x 8 sums in registers ----
// Each value that it reads from shared memory is used 8 times: 16 values, in four 16-byte reads, for 64 multiply-adds.
// The tiles grow to 128 x 128 and halve the traffic from memory twice more: 0.0625 bytes a multiply-add. The next tiles
// are fetched into registers while the present ones are multiplied. One block a multiprocessor is allowed to be enough:
// for two, the compiler would have to spill a few of its 135 registers.
constexpr int kTile = 128, kDepth = 8, kV3Threads = 256;
constexpr int kRowLength = kTile + 4;  // keeps 16-byte alignment and spreads the transposing stores over the banks

// Four neighbours, 0 behind the end. `packs`: the address is a multiple of 16.
__device__ Pack<float, 4> load_four(const float* from, int64_t left, bool packs) {
  if (packs && left >= 4) return load_pack<4>(from);
  Pack<float, 4> values{};
  for (int e = 0; e < 4; ++e)
    if (e < left) values.value[e] = from[e];
  return values;
}

// One operand's tile of `length` x kDepth, stored depth-major: tile[p][x] = op(X)(x0 + x, p0 + p). Each of the 256
// threads moves four elements that are neighbours in memory.
template <bool kDepthContiguous>
struct OperandTile {
  const float* data;
  int64_t ld, length, depth;
  bool packs;

  __device__ Pack<float, 4> fetch(int64_t x0, int64_t p0) const {
    const int64_t x = x0 + (kDepthContiguous ? threadIdx.x / 2 : threadIdx.x % 32 * 4);
    const int64_t p = p0 + (kDepthContiguous ? threadIdx.x % 2 * 4 : threadIdx.x / 32);
    if (x >= length || p >= depth) return {};
    if constexpr (kDepthContiguous) return load_four(data + x * ld + p, depth - p, packs);
    else return load_four(data + p * ld + x, length - x, packs);
  }
  static __device__ void store(float (&tile)[kDepth][kRowLength], const Pack<float, 4>& values) {
    if constexpr (kDepthContiguous) {
      for (int e = 0; e < 4; ++e) tile[threadIdx.x % 2 * 4 + e][threadIdx.x / 2] = values.value[e];
    } else {
      store_pack(&tile[threadIdx.x / 32][threadIdx.x % 32 * 4], values);
    }
  }
};

// A thread's 8 rows (or columns) of the tile are two runs of 4, half a tile apart: the 16 lanes that read one row of a
// tile then read neighbouring packs, without bank conflicts.
__device__ int place(unsigned thread, int e) { return static_cast<int>(thread) * 4 + e % 4 + e / 4 * (kTile / 2); }

template <bool kDepthContiguousA, bool kDepthContiguousB>
__global__ void __launch_bounds__(kV3Threads, 1) gemm_v3_kernel(OwnGemm g, bool packs_a, bool packs_b, bool packs_c) {
  __shared__ alignas(16) float a_tile[kDepth][kRowLength], b_tile[kDepth][kRowLength];
  const TileStart start(g, kTile, kTile);
  const OperandTile<kDepthContiguousA> a{matrix_of_batch<float>(g.a, g.a_batch),
                                         kDepthContiguousA ? g.a_row : g.a_column, g.m, g.k, packs_a};
  const OperandTile<kDepthContiguousB> b{matrix_of_batch<float>(g.b, g.b_batch),
                                         kDepthContiguousB ? g.b_column : g.b_row, g.n, g.k, packs_b};
  const unsigned ty = threadIdx.x / 16, tx = threadIdx.x % 16;
  float sums[8][8] = {};
  Pack<float, 4> next_a = a.fetch(start.i, 0), next_b = b.fetch(start.j, 0);
  for (int64_t p0 = 0; p0 < g.k; p0 += kDepth) {
    a.store(a_tile, next_a);
    b.store(b_tile, next_b);
    __syncthreads();
    next_a = a.fetch(start.i, p0 + kDepth);  // nothing is read behind the end
    next_b = b.fetch(start.j, p0 + kDepth);
#pragma unroll
    for (int p = 0; p < kDepth; ++p) {
      Pack<float, 4> rows[2], columns[2];
      for (int half = 0; half < 2; ++half) {
        rows[half] = load_pack<4>(&a_tile[p][place(ty, half * 4)]);
        columns[half] = load_pack<4>(&b_tile[p][place(tx, half * 4)]);
      }
#pragma unroll
      for (int r = 0; r < 8; ++r)
#pragma unroll
        for (int c = 0; c < 8; ++c) sums[r][c] += rows[r / 4].value[r % 4] * columns[c / 4].value[c % 4];
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < 8; ++r) {
    const int64_t i = start.i + place(ty, r);
    if (i >= g.m) break;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t j = start.j + place(tx, half * 4);
      if (packs_c && j + 4 <= g.n) {
        float* const c = static_cast<float*>(g.c) + blockIdx.z * g.c_batch + i * g.ldc + j;
        Pack<float, 4> out = g.accumulate ? load_pack<4>(c) : Pack<float, 4>{};
        for (int e = 0; e < 4; ++e) {
          out.value[e] += sums[r][half * 4 + e];
          if (g.bias != nullptr) out.value[e] += static_cast<const float*>(g.bias)[j + e];
        }
        store_pack(c, out);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (j + e < g.n) store_sum(g, i, j + e, sums[r][half * 4 + e]);
      }
    }
  }
}

// ---- launches ----

unsigned tiles_of(const OwnGemm& g, int tile_m, int tile_n) {
  return static_cast<unsigned>(ceil_div(g.m, tile_m) * ceil_div(g.n, tile_n));
}

// All rows of all matrices begin at multiples of 16 bytes.
bool rows_are_aligned(const void* data, int64_t ld, int64_t batch_stride) {
  return packs_fit<float>(data, ld) && batch_stride % kPackElements<float> == 0;
}

void launch_v1(const OwnGemm& g) {
  const dim3 grid(tiles_of(g, kV1Rows, kV1Columns), 1, static_cast<unsigned>(g.count));
  visit_cuda_float(g.a_dtype, "gemm", [&]<class A>() {
    visit_cuda_float(g.b_dtype, "gemm", [&]<class B>() {
      gemm_v1_kernel<A, B><<<grid, dim3(kV1Columns, kV1Rows), 0, cuda_stream()>>>(g);
    });
  });
}

void launch_v2(const OwnGemm& g) {
  const dim3 grid(tiles_of(g, kV2Tile, kV2Tile), 1, static_cast<unsigned>(g.count));
  visit_cuda_float(g.a_dtype, "gemm", [&]<class A>() {
    visit_cuda_float(g.b_dtype, "gemm",
                     [&]<class B>() { gemm_v2_kernel<A, B><<<grid, dim3(kV2Tile, kV2Tile), 0, cuda_stream()>>>(g); });
  });
}

void launch_v3(const OwnGemm& g) {
  const dim3 grid(tiles_of(g, kTile, kTile), 1, static_cast<unsigned>(g.count));
  const auto launch = [&](auto kernel) {
    kernel<<<grid, kV3Threads, 0, cuda_stream()>>>(g, rows_are_aligned(g.a, std::max(g.a_row, g.a_column), g.a_batch),
                                                   rows_are_aligned(g.b, std::max(g.b_row, g.b_column), g.b_batch),
                                                   g.c_dtype == Dtype::f32 && rows_are_aligned(g.c, g.ldc, g.c_batch));
  };
  const bool a = g.a_column == 1, b = g.b_row == 1;
  if (a && b) launch(gemm_v3_kernel<true, true>);
  else if (a) launch(gemm_v3_kernel<true, false>);
  else if (b) launch(gemm_v3_kernel<false, true>);
  else launch(gemm_v3_kernel<false, false>);
}

const void* advance(const void* data, Dtype dtype, int64_t elements) {
  return static_cast<const char*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

}  // namespace

void gemm_own_cuda(int version, const OwnGemm& g) {
  // Versions 3 and 4 are made for one type each.
  if (version >= 4 && !(g.a_dtype == Dtype::bf16 && g.b_dtype == Dtype::bf16)) version = 3;
  if (version == 3 && !(g.a_dtype == Dtype::f32 && g.b_dtype == Dtype::f32)) version = 2;
  for (int64_t first = 0; first < g.count; first += kMaxGridZ) {
    OwnGemm part = g;
    part.count = std::min(g.count - first, kMaxGridZ);
    part.a = advance(g.a, g.a_dtype, first * g.a_batch);
    part.b = advance(g.b, g.b_dtype, first * g.b_batch);
    part.c = const_cast<void*>(advance(g.c, g.c_dtype, first * g.c_batch));
    if (version == 1) launch_v1(part);
    else if (version == 2) launch_v2(part);
    else if (version == 3) launch_v3(part);
    else gemm_tensor_core_cuda(part);
    VIGOR_CUDA_CHECK_LAUNCH("gemm");
  }
}

}  // namespace vigor
