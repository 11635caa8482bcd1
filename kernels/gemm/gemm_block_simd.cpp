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
// Caches (32-48 KB L1, 0.5-2 MB L2). All tiles of a block of A run against one panel of B before the next panel:
//   block_k        a tile of A (14 x 512 floats: 28 KB) and a panel of B (512 x 32: 64 KB) stream through L1 from L2.
//                  Deeper sums read and write C less often; beyond 512 the panel leaves no room in L2.
//   block_m        a block of A (block_m x block_k) fills less than half of L2.
//   block_n        where A needs several blocks, the packed panels of B wait in L3 for the next one.
// What the next block or panel is packed from, and the next tile of C, are prefetched meanwhile: the multipliers need
// the memory only a tenth of the time, but packing would wait for it.
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

template <class T>
struct Tile {
  int64_t k;
  const T* a;
  int64_t a_row, a_step;  // elements from one row of A to the next, and from one k to the next
  const T* b;
  int64_t b_step;
  T* c;
  int64_t ldc;
  int64_t n;
  bool add;
};

// C[H, n] (+)= A[H, k] B[k, n]; the last of the W vectors holds n - (W - 1) * lanes columns. With both matrices packed
// a_row = 1 and a_step = H are known when compiled; otherwise what is not packed may need to be fetched ahead.
template <class T, int H, int W, bool kPacked>
void micro_kernel(const Tile<T>& tile) {
  using V = typename Vector<T>::type;
  constexpr int64_t lanes = Vector<T>::lanes;
  constexpr int kBases = (H + 2) / 3;  // rows i, i + 1 and i + 2 share a pointer: base + {0, 1, 2} * a_row
  const T* a[kBases];
  for (int i = 0; i < kBases; ++i) a[i] = tile.a + 3 * i * tile.a_row;
  const T* b = tile.b;
  V sum[H][W] = {};
  for (int64_t p = 0; p < tile.k; ++p) {
    if constexpr (!kPacked) {
      constexpr int64_t ahead = 16;
      __builtin_prefetch(a[0] + ahead * tile.a_step);
      __builtin_prefetch(a[kBases - 1] + ahead * tile.a_step);
      __builtin_prefetch(b + ahead * tile.b_step);
      __builtin_prefetch(b + ahead * tile.b_step + (W - 1) * lanes);
    }
    V column[W];
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) column[j] = load(b + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < H; ++i) {
      const V row = broadcast(kPacked ? a[0][i] : a[i / 3][i % 3 * tile.a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < W; ++j) sum[i][j] = fma(row, column[j], sum[i][j]);
    }
    if constexpr (kPacked) {
      a[0] += H;
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < kBases; ++i) a[i] += tile.a_step;
    }
    b += tile.b_step;
  }
  const int64_t last = tile.n - (W - 1) * lanes;
#pragma GCC unroll 16
  for (int i = 0; i < H; ++i) {
    T* out = tile.c + i * tile.ldc;
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) {
      if (j < W - 1 || last == lanes) {
        store(out + j * lanes, tile.add ? sum[i][j] + load(out + j * lanes) : sum[i][j]);
      } else {
        store_partial(out + j * lanes, tile.add ? sum[i][j] + load_partial(out + j * lanes, last) : sum[i][j], last);
      }
    }
  }
}

template <class T>
using MicroKernel = void (*)(const Tile<T>& tile);

// The micro-kernel for `rows` rows and W vectors.
template <class T, bool kPacked, int W, int H = kTileRows>
MicroKernel<T> find_rows(int64_t rows) {
  if constexpr (H > 1) {
    if (rows < H) return find_rows<T, kPacked, W, H - 1>(rows);
  }
  return micro_kernel<T, H, W, kPacked>;
}

template <class T, bool kPacked, int W = kTileVectors>
MicroKernel<T> find(int64_t rows, int64_t vectors) {
  if constexpr (W > 1) {
    if (vectors < W) return find<T, kPacked, W - 1>(rows, vectors);
  }
  return find_rows<T, kPacked, W>(rows);
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

template <class T, bool kPacked>
void panel_loop(const GemmPanel<T>& panel) {
  constexpr int64_t lanes = Vector<T>::lanes;
  const int64_t tiles = (panel.m + kTileRows - 1) / kTileRows, vectors = (panel.n + lanes - 1) / lanes;
  const int64_t low = panel.m / tiles;  // every tile has this height or one more
  const MicroKernel<T> kernels[] = {find<T, kPacked>(low, vectors), find<T, kPacked>(low + 1, vectors)};
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t i = t * panel.m / tiles, rows = (t + 1) * panel.m / tiles - i;
    prefetch(panel.next_a, t, tiles);
    prefetch(panel.next_b, t, tiles);
    // The next tile of C, unless this sum is too short to cover the requests; to L2 only, because rows of C often lie a
    // power of two apart and would push each other out of L1.
    for (int64_t r = i + rows; r < i + 2 * rows && panel.k >= 64; ++r)
      for (int64_t j = 0; j < panel.n; j += 64 / sizeof(T)) __builtin_prefetch(panel.c + r * panel.ldc + j, 0, 2);
    T* c = panel.c + i * panel.ldc;
    const T* a = panel.a + i * (panel.a_is_packed ? panel.k : panel.a_row);
    const int64_t a_row = panel.a_is_packed ? 1 : panel.a_row, a_step = panel.a_is_packed ? rows : panel.a_step;
    kernels[rows - low]({panel.k, a, a_row, a_step, panel.b, panel.b_step, c, panel.ldc, panel.n, panel.add});
    if constexpr (lanes == kLanes) {  // f32
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

void gemm_panel(const GemmPanel<float>& panel) {
  if (panel.a_is_packed && panel.b_step == kTileVectors * kLanes) panel_loop<float, true>(panel);
  else panel_loop<float, false>(panel);
}
void gemm_panel(const GemmPanel<double>& panel) { panel_loop<double, true>(panel); }

}  // namespace vigor::VIGOR_ISA
