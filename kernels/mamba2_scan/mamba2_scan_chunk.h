#pragma once
// For the *_simd.cpp files of the scan of Mamba-2: what both directions do with a chunk. The chunk's q steps are padded
// to q' = 16, 32, 48 or 64 rows; rows and columns of padding are zeros in all that is loaded, so they add nothing.
#include "kernels/mamba2_scan/mamba2_scan_simd.h"
#include "kernels/vector_loop.h"
#include "kernels/vector_transpose.h"

#if defined(VIGOR_ISA)

namespace vigor::VIGOR_ISA {

constexpr int64_t kQ = kMamba2Chunk;

// ---- memory ---------------------------------------------------------------------------------------------------------

// Hands out scratch piece by piece.
struct Mamba2Scratch {
  float* next;
  float* take(int64_t count) {
    float* piece = next;
    next += count;
    return piece;
  }
};

// `n` columns in vectors from `p` on; only `left` of them exist.
VIGOR_INLINE int64_t lanes_of(int64_t left) { return left < kLanes ? left : kLanes; }
template <class T>
VIGOR_INLINE vfloat load_upto(const T* p, int64_t left) {
  return left >= kLanes ? load(p) : load_partial(p, left < 0 ? 0 : left);
}
template <class T>
VIGOR_INLINE void store_upto(T* p, vfloat v, int64_t left) {
  if (left >= kLanes) store(p, v);
  else if (left > 0) store_partial(p, v, left);
}

template <class T>
static void fill_zeros(T* p, int64_t n) {
  for_each_vector(n, [=](int64_t i, auto lanes) { store(p + i, zero(), lanes); });
}

// out [padded_rows,padded columns] = rows in f32, zeros around them.
template <class X>
static void load_rows(const X* x, int64_t step, int64_t rows, int64_t columns, int64_t padded_rows, float* out) {
  const int64_t width = mamba2_padded(columns);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < width; c += kLanes) store(out + i * width + c, load_upto(x + i * step + c, columns - c));
  fill_zeros(out + rows * width, (padded_rows - rows) * width);
}

// out [columns,rows] = in [rows,columns] transposed, then zeros up to out_columns and in out_rows - columns more rows;
// or only the part of it that fits into [out_rows,out_columns].
static inline void transpose_into(const float* in, int64_t ld_in, int64_t rows, int64_t columns, float* out,
                                  int64_t ld_out, int64_t out_rows, int64_t out_columns) {
  for (int64_t c = 0; c < out_rows; c += kLanes)
    for (int64_t r = 0; r < out_columns; r += kLanes) {
      vfloat square[kLanes];
      for (int64_t i = 0; i < kLanes; ++i)
        square[i] = r + i < rows ? load_upto(in + (r + i) * ld_in + c, columns - c) : zero();
      transpose(square);
      const int64_t count = lanes_of(out_rows - c);
      for (int64_t i = 0; i < count; ++i) store_upto(out + (c + i) * ld_out + r, square[i], out_columns - r);
    }
}

// A state [P,N] as it is worked on, [N',P'], and back.
static inline void load_state(const float* state, int64_t P, int64_t N, float* out) {
  transpose_into(state, N, P, N, out, mamba2_padded(P), mamba2_padded(N), mamba2_padded(P));
}
static inline void store_state(const float* in, int64_t P, int64_t N, float* state) {
  transpose_into(in, mamba2_padded(P), mamba2_padded(N), mamba2_padded(P), state, N, P, N);
}

// ---- products -------------------------------------------------------------------------------------------------------

// A tile of a product: kTileRows x V vectors that stay in registers.
#if defined(VIGOR_ISA_IS_avx512) || defined(VIGOR_ISA_IS_neon)
constexpr int64_t kTileRows = 8;  // of 32 registers 16 are sums: enough to hide the latency of an fma
#else
constexpr int64_t kTileRows = 4;
#endif
template <int V>
using Tile = vfloat[kTileRows][V];

// The left factor of a product, entry (i, k) of it: neighbours along i, or along k, are neighbours in memory.
struct RowsTogether {
  const float* a;
  int64_t step;  // from one k to the next
};
struct StepsTogether {
  const float* a;
  int64_t row;  // from one i to the next
};

// sum += A [kTileRows,k] B [k,V vectors]; rows of B are ldb apart.
template <int V>
VIGOR_INLINE void add_product(Tile<V>& sum, int64_t k, RowsTogether left, const float* b, int64_t ldb) {
  const float* a = left.a;
  for (int64_t x = 0; x < k; ++x, a += left.step, b += ldb) {
    vfloat row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const vfloat factor = broadcast(a[r]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = fma(factor, row[v], sum[r][v]);
    }
  }
}
template <int V>
VIGOR_INLINE void add_product(Tile<V>& sum, int64_t k, StepsTogether left, const float* b, int64_t ldb) {
  constexpr int kBases = (kTileRows + 2) / 3;  // rows r, r + 1 and r + 2 share a pointer: base + {0, 1, 2} * row
  const float* a[kBases];
  for (int i = 0; i < kBases; ++i) a[i] = left.a + 3 * i * left.row;
  for (int64_t x = 0; x < k; ++x, b += ldb) {
    vfloat row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const vfloat factor = broadcast(a[r / 3][r % 3 * left.row]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = fma(factor, row[v], sum[r][v]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kBases; ++i) ++a[i];
  }
}

template <int V>
struct Vectors {
  static constexpr int value = V;
};
// tile(i, j, vectors) for tiles that cover [rows,columns], both padded. The columns of a tile stay while its rows move:
// the right factor is read from the L1 cache.
template <class F>
VIGOR_INLINE void for_tiles(int64_t rows, int64_t columns, F tile) {
  int64_t j = 0;
  for (; j + 2 * kLanes <= columns; j += 2 * kLanes)
    for (int64_t i = 0; i < rows; i += kTileRows) tile(i, j, Vectors<2>{});
  for (; j < columns; j += kLanes)
    for (int64_t i = 0; i < rows; i += kTileRows) tile(i, j, Vectors<1>{});
}

// f(r, v) for every row and vector of a tile.
template <int V, class F>
VIGOR_INLINE void for_tile(F f) {
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) f(r, v);
  }
}

// after [rows,width] = factor * before + A^T B with A [k,rows] and B [k,width], all padded: how a state, or its
// gradient, moves over a chunk. `before` is null for zeros and may be `after`.
static inline void scale_and_add_product(int64_t rows, int64_t width, int64_t k, float factor, const float* before,
                                         const float* a, const float* b, float* after) {
  for_tiles(rows, width, [&](int64_t i, int64_t column, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    Tile<V> sum = {};
    const auto place = [&](int r, int v) { return (i + r) * width + column + v * kLanes; };
    if (before != nullptr && factor != 0)
      for_tile<V>([&](int r, int v) { sum[r][v] = factor * load(before + place(r, v)); });
    add_product<V>(sum, k, RowsTogether{a + i, rows}, b + column, width);
    for_tile<V>([&](int r, int v) { store(after + place(r, v), sum[r][v]); });
  });
}

// out [rows,width] = x [rows,width], row j times factor[j] * other_factor[j] (null: 1).
static inline void scale_rows(const float* x, int64_t rows, int64_t width, const float* factor,
                              const float* other_factor, float* out) {
  for (int64_t j = 0; j < rows; ++j) {
    const float f = factor[j] * (other_factor != nullptr ? other_factor[j] : 1.0f);
    for (int64_t c = 0; c < width; c += kLanes) store(out + j * width + c, f * load(x + j * width + c));
  }
}

// ---- chunks ---------------------------------------------------------------------------------------------------------

// Steps first .. first + q - 1 of a sequence, and where documents end in them.
struct Mamba2Chunk {
  int64_t first, q, padded;
  bool has_resets;
  int64_t first_reset, last_reset;  // q and 0 without any
  int32_t end[kQ];                  // the first reset behind step j, else `padded`; only with resets

  Mamba2Chunk(const SequenceSteps& time, int64_t index) {
    first = index * kQ;
    q = time.length - first < kQ ? time.length - first : kQ;
    padded = mamba2_padded(q);
    has_resets = false;
    first_reset = padded;
    last_reset = 0;
    if (time.resets == nullptr) return;
    int32_t next = static_cast<int32_t>(padded);
    for (int64_t j = padded - 1; j >= 0; --j) {
      end[j] = next;
      if (j >= q || time.resets[first + j] == 0) continue;
      if (!has_resets) last_reset = j;
      has_resets = true;
      first_reset = j;
      next = static_cast<int32_t>(j);
    }
  }
};

// The decays of one head over a chunk; [kQ] each, the padding continued with dt' = 0. L_i is the sum of a dt' over
// steps 0 .. i, kept as hi + lo: differences of neighbours must be as accurate as if the sum had started there.
struct Mamba2Decays {
  float *raw_dt, *dt;          // dt + dt_bias, and dt' of it
  float *hi, *lo;              // L
  float *from_start, *to_end;  // exp(L_i), what is left at step i of the state before the chunk; and exp(L_q - L_j)
  float whole;                 // exp(L_q)
  float *ratio, *within;       // scratch
  explicit Mamba2Decays(Mamba2Scratch& s)
      : raw_dt(s.take(kQ)),
        dt(s.take(kQ)),
        hi(s.take(kQ)),
        lo(s.take(kQ)),
        from_start(s.take(kQ)),
        to_end(s.take(kQ)),
        whole(0),
        ratio(s.take(kQ)),
        within(s.take(kQ)) {}
};

// e^x for x <= 0, but 0 below e^-40, which is lost beside any other number: the product of two such decays is still a
// normal number, and numbers that are not cost x86 well over a hundred cycles each.
VIGOR_INLINE vfloat decay(vfloat x) {
  const float least = -40.0f;
  return select(x < least, zero(), exp(max(broadcast(least), min(zero(), x))));
}

// dt' of dt + dt_bias.
VIGOR_INLINE vfloat limited_softplus(vfloat raw, float dt_min, float dt_max) {
  return min(broadcast(dt_max), max(broadcast(dt_min), softplus(raw)));
}

template <class X>
static void load_decays(const Mamba2Task<X>& p, const Mamba2Chunk& chunk, int64_t h, Mamba2Decays& d) {
  const X* dt = p.dt.data + chunk.first * p.dt.step + h * p.dt.head;
  for (int64_t j = 0; j < chunk.q; ++j) d.raw_dt[j] = static_cast<float>(dt[j * p.dt.step]) + p.dt_bias[h];
  for (int64_t j = chunk.q; j < chunk.padded; ++j) d.raw_dt[j] = 0;
  for (int64_t j = 0; j < chunk.padded; j += kLanes)
    store(d.dt + j, limited_softplus(load(d.raw_dt + j), p.dt_min, p.dt_max));
  for (int64_t j = chunk.q; j < chunk.padded; ++j) d.dt[j] = 0;
  const float a = -__builtin_expf(p.a_log[h]);
  double sum = 0;
  for (int64_t j = 0; j < chunk.padded; ++j) {
    sum += static_cast<double>(a * d.dt[j]);
    d.hi[j] = static_cast<float>(sum);
    d.lo[j] = static_cast<float>(sum - static_cast<double>(d.hi[j]));
  }
  const float last_hi = d.hi[chunk.padded - 1], last_lo = d.lo[chunk.padded - 1];
  for (int64_t j = 0; j < chunk.padded; j += kLanes) {
    const vfloat hi = load(d.hi + j), lo = load(d.lo + j);
    store(d.from_start + j, decay(hi + lo));
    store(d.to_end + j, decay((last_hi - hi) + (last_lo - lo)));
  }
  d.whole = chunk.has_resets ? 0 : d.from_start[chunk.padded - 1];
  if (!chunk.has_resets) return;
  for (int64_t j = chunk.first_reset; j < chunk.padded; ++j) d.from_start[j] = 0;
  for (int64_t j = 0; j < chunk.last_reset; ++j) d.to_end[j] = 0;
}

VIGOR_INLINE vint lane_numbers() {
  vint n;
  for (int32_t i = 0; i < kLanes; ++i) n[i] = i;
  return n;
}

// f(j, i, m) for every row j and each vector of i from j on: m holds M_ij = exp(L_i - L_j), 0 for i < j and beyond a
// reset. Exponentials are taken in squares of kMamba2Pad steps on the diagonal; right of them M_ij is the product of
// the decay from j to the end of its square, and from there to i.
template <class F>
VIGOR_INLINE void for_each_decay(const Mamba2Chunk& chunk, const Mamba2Decays& d, F f) {
  const vint lane = lane_numbers();
  for (int64_t begin = 0; begin < chunk.padded; begin += kMamba2Pad) {
    const int64_t end = begin + kMamba2Pad;
    const float end_hi = d.hi[end - 1], end_lo = d.lo[end - 1];
    for (int64_t i = begin; i < end; i += kLanes)
      store(d.within + i, decay((end_hi - load(d.hi + i)) + (end_lo - load(d.lo + i))));
    for (int64_t i = end; i < chunk.padded; i += kLanes)
      store(d.ratio + i, decay((load(d.hi + i) - end_hi) + (load(d.lo + i) - end_lo)));
    for (int64_t j = begin; j < end; ++j) {
      const auto cut = [&](int64_t i, vfloat m) {
        return chunk.has_resets ? select(lane + static_cast<int32_t>(i) < chunk.end[j], m, zero()) : m;
      };
      const float hi = d.hi[j], lo = d.lo[j], within = d.within[j];
      for (int64_t i = j / kLanes * kLanes; i < end; i += kLanes) {
        const vfloat m = decay((load(d.hi + i) - hi) + (load(d.lo + i) - lo));
        f(j, i, cut(i, select(lane >= static_cast<int32_t>(j - i), m, zero())));
      }
      for (int64_t i = end; i < chunk.padded; i += kLanes) f(j, i, cut(i, within * load(d.ratio + i)));
    }
  }
}

// B and C of a chunk, and their products.
struct Mamba2GroupChunk {
  float *b, *c;  // [Q,N']
  float* c_t;    // [N',Q]
  float* cb_t;   // [Q,Q]: entry (j, i) is C_i . B_j, for i >= j
  Mamba2GroupChunk(Mamba2Scratch& s, int64_t padded_n)
      : b(s.take(kQ * padded_n)), c(s.take(kQ * padded_n)), c_t(s.take(kQ * padded_n)), cb_t(s.take(kQ * kQ)) {}
};

template <class X>
static void load_group_chunk(const Mamba2Task<X>& p, const Mamba2Chunk& chunk, const Mamba2GroupChunk& g) {
  const int64_t n = mamba2_padded(p.N);
  load_rows(p.ssm_b.data + chunk.first * p.ssm_b.step, p.ssm_b.step, chunk.q, p.N, chunk.padded, g.b);
  load_rows(p.ssm_c.data + chunk.first * p.ssm_c.step, p.ssm_c.step, chunk.q, p.N, chunk.padded, g.c);
  transpose_into(g.c, n, chunk.padded, n, g.c_t, kQ, n, chunk.padded);
  for_tiles(chunk.padded, chunk.padded, [&](int64_t j, int64_t i, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    if (i + V * kLanes <= j) return;
    Tile<V> sum = {};
    add_product<V>(sum, n, StepsTogether{g.b + j * n, n}, g.c_t + i, kQ);
    for_tile<V>([&](int r, int v) { store(g.cb_t + (j + r) * kQ + i + v * kLanes, sum[r][v]); });
  });
}

}  // namespace vigor::VIGOR_ISA

#endif  // VIGOR_ISA
