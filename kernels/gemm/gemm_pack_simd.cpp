// Packing: the part of A or B that one block needs, in the order in which the micro-kernel reads it. Both come down to
// one job, a panel[p * stride + i] = source(i, p) of `width` neighbouring rows of A or columns of B.
#include "kernels/gemm/gemm_kernels.h"
#include "kernels/vector_shuffles.h"

namespace vigor::VIGOR_ISA {
namespace {

// Source rows are contiguous along k: kLanes x kLanes squares are transposed. `rows` <= kLanes; rows behind them are
// taken as 0. Stores whole vectors, so with stride < kLanes each one overwrites the excess of the one before.
template <class S>
void pack_transposed(const S* source, int64_t ld, int64_t rows, int64_t k, float* panel, int64_t stride) {
  for (int64_t p = 0; p < k; p += kLanes) {
    const int64_t steps = k - p < kLanes ? k - p : kLanes;
    vfloat square[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) {
      if (i >= rows) square[i] = zero();
      else square[i] = steps == kLanes ? load(source + i * ld + p) : load_partial(source + i * ld + p, steps);
    }
    transpose(square);
    for (int64_t q = 0; q < steps; ++q) store(panel + (p + q) * stride, square[q]);
  }
}

template <class S>
vfloat load_upto(const S* p, int64_t n) {
  return n >= kLanes ? load(p) : load_partial(p, n < 0 ? 0 : n);
}

// Neighbouring tiles, tile t from row starts[t] to starts[t + 1], of the `width` columns of a matrix stored with k
// across its rows.
template <class S>
void pack_tiles(const S* source, int64_t ld, int64_t width, const int64_t* starts, int64_t tiles, int64_t k,
                float* packed) {
  constexpr int64_t ahead = 8;  // rows; the processor itself fetches nothing ahead for rows this far apart
  for (int64_t p = 0; p < k; ++p, source += ld) {
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = starts[t], rows = starts[t + 1] - begin;
      __builtin_prefetch(source + begin + ahead * ld);
      const vfloat row = load_upto(source + begin, width - begin);
      float* out = packed + begin * k + p * rows;
      if (p * rows + kLanes <= k * rows) store(out, row);  // the excess, in this tile, is overwritten by the next rows
      else store_partial(out, row, rows);
    }
  }
}

template <class S>
void pack_a(const S* a, int64_t lda, bool k_contiguous, int64_t m, int64_t k, float* packed) {
  const int64_t tile_rows = gemm_tiling(packed).tile_rows, tiles = (m + tile_rows - 1) / tile_rows;
  // A stored with k across its rows: several tiles together, because they share pages and cache lines of A; not more,
  // because the tiles often lie a power of two apart and push each other out of the cache.
  constexpr int64_t together = 8;
  int64_t starts[together + 1];
  for (int64_t t = 0; t < tiles; t += together) {
    const int64_t count = tiles - t < together ? tiles - t : together;
    for (int64_t i = 0; i <= count; ++i) starts[i] = (t + i) * m / tiles;
    if (k_contiguous) {
      for (int64_t i = 0; i < count; ++i)
        pack_transposed(a + starts[i] * lda, lda, starts[i + 1] - starts[i], k, packed + starts[i] * k,
                        starts[i + 1] - starts[i]);
    } else {
      pack_tiles(a, lda, m, starts, count, k, packed);
    }
  }
}

template <class S>
void pack_b(const S* b, int64_t ldb, bool k_contiguous, int64_t k, int64_t n, float* packed) {
  const int64_t columns = gemm_tiling(packed).panel_columns;
  if (k_contiguous) {
    for (int64_t j = 0; j < n; j += columns) {
      for (int64_t i = 0; i < columns; i += kLanes) {
        const int64_t left = n - j - i, rows = left < 0 ? 0 : left < kLanes ? left : kLanes;
        pack_transposed(b + (j + i) * ldb, ldb, rows, k, packed + j * k + i, columns);
      }
    }
    return;
  }
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t j = 0; j < n; j += columns)
      for (int64_t i = 0; i < columns; i += kLanes)
        store(packed + j * k + p * columns + i, load_upto(b + p * ldb + j + i, n - j - i));
  }
}

// f64 is for checking gradients, not for speed.
void pack_a(const double* a, int64_t lda, bool k_contiguous, int64_t m, int64_t k, double* packed) {
  const int64_t tile_rows = gemm_tiling(packed).tile_rows, tiles = (m + tile_rows - 1) / tile_rows;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = t * m / tiles, rows = (t + 1) * m / tiles - begin;
    for (int64_t p = 0; p < k; ++p)
      for (int64_t i = 0; i < rows; ++i)
        packed[begin * k + p * rows + i] = a[k_contiguous ? (begin + i) * lda + p : p * lda + begin + i];
  }
}

void pack_b(const double* b, int64_t ldb, bool k_contiguous, int64_t k, int64_t n, double* packed) {
  const int64_t columns = gemm_tiling(packed).panel_columns;
  for (int64_t j = 0; j < n; j += columns)
    for (int64_t p = 0; p < k; ++p)
      for (int64_t i = 0; i < columns; ++i)
        packed[j * k + p * columns + i] = j + i < n ? b[k_contiguous ? (j + i) * ldb + p : p * ldb + j + i] : 0.0;
}

}  // namespace

void gemm_pack_a(const float* a, int64_t lda, bool k_contiguous, int64_t m, int64_t k, float* packed) {
  pack_a(a, lda, k_contiguous, m, k, packed);
}
void gemm_pack_a(const bf16* a, int64_t lda, bool k_contiguous, int64_t m, int64_t k, float* packed) {
  pack_a(a, lda, k_contiguous, m, k, packed);
}
void gemm_pack_a(const double* a, int64_t lda, bool k_contiguous, int64_t m, int64_t k, double* packed) {
  pack_a(a, lda, k_contiguous, m, k, packed);
}
void gemm_pack_b(const float* b, int64_t ldb, bool k_contiguous, int64_t k, int64_t n, float* packed) {
  pack_b(b, ldb, k_contiguous, k, n, packed);
}
void gemm_pack_b(const bf16* b, int64_t ldb, bool k_contiguous, int64_t k, int64_t n, float* packed) {
  pack_b(b, ldb, k_contiguous, k, n, packed);
}
void gemm_pack_b(const double* b, int64_t ldb, bool k_contiguous, int64_t k, int64_t n, double* packed) {
  pack_b(b, ldb, k_contiguous, k, n, packed);
}

}  // namespace vigor::VIGOR_ISA
