// The micro-kernel and the loops around it for one packed block.
//
// Micro-kernel: a tile of C, H rows by W vectors, stays in registers for the whole sum over k. Each step loads W
// vectors of B and broadcasts H elements of A for H * W multiply-adds, so 2 loads feed up to 14 of them.
//                registers   accumulators      loads per multiply-add   least to hide the latency of 4 at 2 a cycle
//   avx512       32          14 x 2 = 28       16 / 28                  8
//   avx2         16           6 x 2 = 12        8 / 12                  8
//   neon         32           4 x 4 = 16        8 / 16
//   portable     16           4 x 2 = 8         6 / 8
// Rows of a block are cut into tiles of almost equal height, so none is too low to keep the multipliers busy.
//
// Cache (32-48 KB L1, 0.5-2 MB L2): one panel of B (block_k x panel_columns) is used by all tiles of A and stays in
// L1/L2 next to the tile of A in flight; a block of A (block_m x block_k) fills at most half of L2; a block of B
// (block_k x block_n) lies in L3. A larger block_k reads and writes C less often.
#include "kernels/gemm/gemm_kernels.h"

namespace vigor::VIGOR_ISA {
namespace {

template <class T>
struct Vector;
template <>
struct Vector<float> {
  typedef vfloat type;
  static constexpr int64_t lanes = kLanes;
};
template <>
struct Vector<double> {
  typedef vdouble type;
  static constexpr int64_t lanes = kDoubleLanes;
};

#if defined(VIGOR_ISA_IS_avx512)
constexpr int kTileRows = 14, kTileVectors = 2;
constexpr int64_t kBlockM = 384, kBlockN = 2048, kBlockK = 512;
#elif defined(VIGOR_ISA_IS_avx2)
constexpr int kTileRows = 6, kTileVectors = 2;
constexpr int64_t kBlockM = 144, kBlockN = 2048, kBlockK = 256;
#elif defined(VIGOR_ISA_IS_neon)
constexpr int kTileRows = 4, kTileVectors = 4;
constexpr int64_t kBlockM = 128, kBlockN = 2048, kBlockK = 256;
#else
constexpr int kTileRows = 4, kTileVectors = 2;
constexpr int64_t kBlockM = 128, kBlockN = 2048, kBlockK = 256;
#endif
static_assert(kTileRows <= kLanes, "gemm_pack_a packs a tile as one group of rows");

// C[H, n] (+)= a[k, H]^T b[k, W vectors]; the last of the W vectors holds n - (W - 1) * lanes columns.
template <class T, int H, int W>
void micro_kernel(int64_t k, const T* a, const T* b, T* c, int64_t ldc, int64_t n, bool add) {
  using V = typename Vector<T>::type;
  constexpr int64_t lanes = Vector<T>::lanes;
  // The sum takes thousands of cycles, long enough to bring the tile of C from anywhere; to L2, because its rows often
  // lie a power of two apart and would push each other out of L1.
#pragma GCC unroll 16
  for (int i = 0; i < H; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) __builtin_prefetch(c + i * ldc + j * lanes, 0, 2);
  V sum[H][W] = {};
  for (int64_t p = 0; p < k; ++p) {
    V column[W];
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) column[j] = load(b + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < H; ++i) {
      const V row = broadcast(a[i]);
#pragma GCC unroll 8
      for (int j = 0; j < W; ++j) sum[i][j] = fma(row, column[j], sum[i][j]);
    }
    a += H;
    b += kTileVectors * lanes;
  }
  const int64_t last = n - (W - 1) * lanes;
#pragma GCC unroll 16
  for (int i = 0; i < H; ++i) {
    T* out = c + i * ldc;
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) {
      if (j < W - 1 || last == lanes) {
        store(out + j * lanes, add ? sum[i][j] + load(out + j * lanes) : sum[i][j]);
      } else {
        store_partial(out + j * lanes, add ? sum[i][j] + load_partial(out + j * lanes, last) : sum[i][j], last);
      }
    }
  }
}

template <class T>
using MicroKernel = void (*)(int64_t k, const T* a, const T* b, T* c, int64_t ldc, int64_t n, bool add);

// The micro-kernel for `rows` rows and W vectors.
template <class T, int W, int H = kTileRows>
MicroKernel<T> find_rows(int64_t rows) {
  if constexpr (H > 1) {
    if (rows < H) return find_rows<T, W, H - 1>(rows);
  }
  return micro_kernel<T, H, W>;
}

template <class T, int W = kTileVectors>
MicroKernel<T> find(int64_t rows, int64_t vectors) {
  if constexpr (W > 1) {
    if (vectors < W) return find<T, W - 1>(rows, vectors);
  }
  return find_rows<T, W>(rows);
}

// Prefetches part `index` of `parts` of the lines.
void prefetch(const GemmPrefetch& next, int64_t index, int64_t parts) {
  if (next.begin == next.end) return;
  const int64_t lines_a_row = (next.row_bytes + 63) / 64, count = next.end - next.begin;
  const int64_t begin = next.begin + count * index / parts, end = next.begin + count * (index + 1) / parts;
  int64_t row = begin / lines_a_row, line = begin % lines_a_row;
  const char* data = static_cast<const char*>(next.data) + row * next.stride_bytes;
  for (int64_t i = begin; i < end; ++i) {
    __builtin_prefetch(data + line * 64, 0, 2);
    if (++line == lines_a_row) line = 0, data += next.stride_bytes;
  }
}

template <class T>
void panel_loop(const GemmPanel<T>& panel) {
  constexpr int64_t lanes = Vector<T>::lanes;
  const int64_t tiles = (panel.m + kTileRows - 1) / kTileRows, vectors = (panel.n + lanes - 1) / lanes;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t i = t * panel.m / tiles, rows = (t + 1) * panel.m / tiles - i;
    prefetch(panel.next_a, t, tiles);
    prefetch(panel.next_b, t, tiles);
    T* c = panel.c + i * panel.ldc;
    find<T>(rows, vectors)(panel.k, panel.a + i * panel.k, panel.b, c, panel.ldc, panel.n, panel.add);
    if constexpr (Vector<T>::lanes == kLanes) {  // f32
      if (panel.epilogue.kind != GemmEpilogue::Kind::none) {
        GemmEpilogue e = panel.epilogue;
        if (e.pre_data) e.pre_data = static_cast<T*>(e.pre_data) + i * panel.ldc;
        gemm_epilogue(e, rows, panel.n, c, panel.ldc, c, panel.ldc);
      }
    }
  }
}

}  // namespace

GemmTiling gemm_tiling(const float*) { return {kTileRows, kTileVectors * kLanes, kBlockM, kBlockN, kBlockK}; }
GemmTiling gemm_tiling(const double*) {
  return {kTileRows, kTileVectors * kDoubleLanes, kBlockM / 2, kBlockN / 2, kBlockK};
}

void gemm_panel(const GemmPanel<float>& panel) { panel_loop(panel); }
void gemm_panel(const GemmPanel<double>& panel) { panel_loop(panel); }

}  // namespace vigor::VIGOR_ISA
