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
// What the next block or panel is packed from, and the next tile of C, are prefetched meanwhile, a few lines at a time:
// the multipliers need the memory only a tenth of the time, but packing would wait for it.
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

// Fetches the lines of a GemmPrefetch a few at a time.
class LineFetcher {
 public:
  LineFetcher(const GemmPrefetch& lines, int64_t calls) {  // so many calls of fetch() reach the end
    if (lines.begin == lines.end) return;
    left_ = lines.end - lines.begin;
    a_call_ = (left_ + calls - 1) / calls;
    lines_a_row_ = (lines.row_bytes + 63) / 64;
    line_ = lines.begin % lines_a_row_;
    row_ = static_cast<const char*>(lines.data) + lines.begin / lines_a_row_ * lines.stride_bytes;
    stride_ = lines.stride_bytes;
  }
  [[gnu::always_inline]] void fetch() {
    for (int64_t i = a_call_ < left_ ? a_call_ : left_; i > 0; --i) {
      __builtin_prefetch(row_ + line_ * 64, 0, 2);
      if (++line_ == lines_a_row_) line_ = 0, row_ += stride_;
    }
    left_ -= a_call_;
  }

 private:
  const char* row_ = nullptr;
  int64_t line_ = 0, lines_a_row_ = 0, stride_ = 0, a_call_ = 0, left_ = 0;
};

template <class T>
struct Tile {
  int64_t k;
  const T* a;
  int64_t a_row, a_step;  // elements from one row of A to the next, and from one k to the next
  const T* b;
  int64_t b_step;
  T* pack_b;  // where to pack what is read of B, see Source
  T* c;
  int64_t ldc;
  int64_t n;
  bool add;
  bool fetch_c;  // fetch the next tile of C, too, and everything in parts; for sums that take long enough
  LineFetcher *next_a, *next_b;
};

// Where the micro-kernel finds A and B. A panel of B whose rows are stored in one piece is packed by the first tile
// that reads it, while that multiplies: two stores beside 28 multiply-adds, where a pass of its own would cost about 15
// multiply-adds an element.
enum class Source {
  packed,  // both packed: a_row = 1 and a_step = H are known when compiled
  stored,  // at least one is read as it is stored
  pack_b,  // A packed; B as stored, and packed on the way
};

// C[H, n] (+)= A[H, k] B[k, n]; the last of the W vectors holds n - (W - 1) * lanes columns.
template <class T, Source kSource, int W, int H>
void micro_kernel(const Tile<T>& tile) {
  using V = typename Vector<T>::type;
  constexpr int64_t lanes = Vector<T>::lanes;
  constexpr bool kPackB = kSource == Source::pack_b;
  constexpr bool kStored = kSource == Source::stored;
  constexpr int kBases = kStored ? (H + 2) / 3 : 1;  // rows i, i + 1, i + 2 share a pointer: base + {0, 1, 2} * a_row
  constexpr int64_t ahead = 16;                      // steps that what is not packed is fetched before
  const T* a[kBases];
  for (int i = 0; i < kBases; ++i) a[i] = tile.a + 3 * i * tile.a_row;
  const T* b = tile.b;
  [[maybe_unused]] T* pack_b = tile.pack_b;
  V sum[H][W] = {};
  // The sum is cut into parts, and a little of what is needed next is fetched before each: all at once would fill the
  // buffers that the loads of A and B need, too. Of C to L2 only, because its rows often lie a power of two apart and
  // would push each other out of L1.
  const T* next_c = tile.c + H * tile.ldc;
  constexpr int kRowsAPart = kStored ? H : 1;  // of C
  const int64_t parts = tile.fetch_c ? H / kRowsAPart : 1, part = tile.k / parts;
  int64_t steps = tile.k - part * (parts - 1);
  for (int64_t r = 0; r < parts; ++r) {
    for (int i = 0; i < kRowsAPart && tile.fetch_c; ++i, next_c += tile.ldc) {
#pragma GCC unroll 8
      for (int j = 0; j < W; ++j) __builtin_prefetch(next_c + j * lanes, 0, 2);
    }
    tile.next_a->fetch();
    tile.next_b->fetch();
#pragma GCC unroll 1
    for (int64_t p = 0; p < steps; ++p) {
      if constexpr (kStored) {
        __builtin_prefetch(a[0] + ahead * tile.a_step);
        __builtin_prefetch(a[kBases - 1] + ahead * tile.a_step);
      }
      if constexpr (kStored || kPackB) {
        __builtin_prefetch(b + ahead * tile.b_step);
        __builtin_prefetch(b + ahead * tile.b_step + (W - 1) * lanes);
      }
      V column[W];
#pragma GCC unroll 8
      for (int j = 0; j < W; ++j) {
        column[j] = load(b + j * lanes);
        if constexpr (kPackB) store(pack_b + j * lanes, column[j]);
      }
      if constexpr (kPackB) pack_b += W * lanes;
#pragma GCC unroll 16
      for (int i = 0; i < H; ++i) {
        const V row = broadcast(kStored ? a[i / 3][i % 3 * tile.a_row] : a[0][i]);
#pragma GCC unroll 8
        for (int j = 0; j < W; ++j) sum[i][j] = fma(row, column[j], sum[i][j]);
      }
      if constexpr (kStored) {
#pragma GCC unroll 8
        for (int i = 0; i < kBases; ++i) a[i] += tile.a_step;
      } else {
        a[0] += H;
      }
      b += tile.b_step;
    }
    steps = part;
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

// The micro-kernel for `rows` rows and `vectors` vectors.
template <class T, Source kSource, int W = kTileVectors, int H = kTileRows>
MicroKernel<T> find(int64_t rows, int64_t vectors) {
  if constexpr (W > 1 && kSource != Source::pack_b) {  // which takes whole panels
    if (vectors < W) return find<T, kSource, W - 1, H>(rows, vectors);
  }
  if constexpr (H > 1) {
    if (rows < H) return find<T, kSource, W, H - 1>(rows, vectors);
  }
  return micro_kernel<T, kSource, W, H>;
}

template <class T>
MicroKernel<T> find(Source source, int64_t rows, int64_t vectors) {
  if constexpr (Vector<T>::lanes == kLanes) {  // f32
    if (source == Source::stored) return find<T, Source::stored>(rows, vectors);
    if (source == Source::pack_b) return find<T, Source::pack_b>(rows, vectors);
  }
  return find<T, Source::packed>(rows, vectors);
}

template <class T>
void panel_loop(const GemmPanel<T>& panel) {
  constexpr int64_t lanes = Vector<T>::lanes, columns = kTileVectors * lanes;
  const int64_t tiles = (panel.m + kTileRows - 1) / kTileRows, vectors = (panel.n + lanes - 1) / lanes;
  const int64_t low = panel.m / tiles;  // every tile has this height or one more
  const Source source =
      panel.a_is_packed && (panel.b_step == columns || panel.pack_b) ? Source::packed : Source::stored;
  const MicroKernel<T> kernels[] = {find<T>(source, low, vectors), find<T>(source, low + 1, vectors)};
  const bool fetch_c = panel.k >= 8 * kTileRows;  // shorter sums would not cover the requests
  const int64_t calls = fetch_c && source == Source::packed ? panel.m : tiles;
  LineFetcher next_a(panel.next_a, calls), next_b(panel.next_b, calls);
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t i = t * panel.m / tiles, rows = (t + 1) * panel.m / tiles - i;
    T* c = panel.c + i * panel.ldc;
    const T* a = panel.a + i * (panel.a_is_packed ? panel.k : panel.a_row);
    const int64_t a_row = panel.a_is_packed ? 1 : panel.a_row, a_step = panel.a_is_packed ? rows : panel.a_step;
    Tile<T> tile{panel.k, a,         a_row,   a_step,    panel.b, panel.b_step, panel.pack_b,
                 c,       panel.ldc, panel.n, panel.add, fetch_c, &next_a,      &next_b};
    if (panel.pack_b && t == 0) {
      find<T>(Source::pack_b, rows, vectors)(tile);
    } else {
      if (panel.pack_b) tile.b = panel.pack_b, tile.b_step = columns;
      kernels[rows - low](tile);
    }
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

void gemm_panel(const GemmPanel<float>& panel) { panel_loop(panel); }
void gemm_panel(const GemmPanel<double>& panel) { panel_loop(panel); }

}  // namespace vigor::VIGOR_ISA
