#pragma once
// For the *_simd.cpp files of the scan of Mamba-2: what both directions do with a chunk. The chunk's q steps are padded
// to q' = 16, 32, 48 or 64 rows; rows and columns of padding are zeros in all that is loaded, so they add nothing.
#include "kernels/mamba2_scan/mamba2_scan_simd.h"
#include "kernels/vector_loop.h"
#include "kernels/vector_shuffles.h"

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

template <class X>
VIGOR_INLINE void load_row(const X* x, int64_t columns, float* out) {  // in f32, and zeros behind it
  for (int64_t c = 0; c < mamba2_padded(columns); c += kLanes) store(out + c, load_upto(x + c, columns - c));
}

// out [heads,kQ,padded columns] = rows first .. first + rows - 1 of each head, zeros around them. Step by step, because
// the heads of a step are neighbours in memory: a processor fetches long rows ahead, but not short ones far apart.
template <class X>
static void load_heads(const Mamba2Rows<const X>& x, int64_t first, int64_t rows, int64_t padded_rows, int64_t heads,
                       int64_t columns, float* out) {
  const int64_t width = mamba2_padded(columns);
  for (int64_t i = 0; i < padded_rows; ++i)
    for (int64_t h = 0; h < heads; ++h) {
      float* const row = out + (h * kQ + i) * width;
      if (i < rows) load_row(x.data + (first + i) * x.step + h * x.head, columns, row);
      else fill_zeros(row, width);
    }
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

// A tile of a product: kTileRows x V vectors that stay in registers. The functions around tiles are not inlined: inside
// a larger function their loops would have to share its registers.
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

// The same for a square of which only the entries right of the diagonal, and on it, are wanted.
template <class F>
VIGOR_INLINE void for_upper_tiles(int64_t size, F tile) {
  for (int64_t j = 0; j < size; j += 2 * kLanes) {
    int64_t i = 0;
    if (j + kLanes < size)
      for (; i < j + kLanes; i += kTileRows) tile(i, j, Vectors<2>{});
    const int64_t last = j + kLanes < size ? j + kLanes : j;
    for (; i < last + kLanes; i += kTileRows) tile(i, last, Vectors<1>{});
  }
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
[[gnu::noinline]] static inline void scale_and_add_product(int64_t rows, int64_t width, int64_t k, float factor,
                                                           const float* before, const float* a, const float* b,
                                                           float* after) {
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

// out [size,size] = A B with A [size,k] and B [k,kQ], on and right of the diagonal.
[[gnu::noinline]] static inline void upper_product(int64_t size, int64_t k, const float* a, const float* b,
                                                   float* out) {
  for_upper_tiles(size, [&](int64_t i, int64_t column, auto vectors) {
    constexpr int V = decltype(vectors)::value;
    Tile<V> sum = {};
    add_product<V>(sum, k, StepsTogether{a + i * k, k}, b + column, kQ);
    for_tile<V>([&](int r, int v) { store(out + (i + r) * kQ + column + v * kLanes, sum[r][v]); });
  });
}

// x [rows,width]: row j times factor[j].
static inline void scale_rows(float* x, int64_t rows, int64_t width, const float* factor) {
  for (int64_t j = 0; j < rows; ++j)
    for (int64_t c = 0; c < width; c += kLanes) store(x + j * width + c, factor[j] * load(x + j * width + c));
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

// e^x for x <= 0, but 0 below e^-40, which is lost beside any other number: the product of two such decays is still a
// normal number, and numbers that are not cost x86 well over a hundred cycles each.
constexpr float kLeastExponent = -40;
VIGOR_INLINE vfloat decay(vfloat x) {
  return select(x < kLeastExponent, zero(), exp(max(broadcast(kLeastExponent), min(zero(), x))));
}

// dt' of dt + dt_bias.
VIGOR_INLINE vfloat limited_softplus(vfloat raw, float dt_min, float dt_max) {
  return min(broadcast(dt_max), max(broadcast(dt_min), softplus(raw)));
}

VIGOR_INLINE vint lane_numbers() {
  vint n;
  for (int32_t i = 0; i < kLanes; ++i) n[i] = i;
  return n;
}

// The decays of one head over a chunk; [kQ] each, the padding continued with dt' = 0. The exponents L are kept as sums
// within blocks of kMamba2Pad steps: a sum over the whole chunk would have lost what its neighbours differ by.
struct Mamba2Decays {
  static constexpr int64_t kBlocks = kQ / kMamba2Pad;
  float *raw_dt, *dt;          // dt + dt_bias, and dt' of it
  float *from_start, *to_end;  // exp(L_i), what is left at step i of the state before the chunk; and exp(L_q - L_j)
  float whole;                 // exp(L_q)
  // M_ij = exp(L_i - L_j) for j <= i as products of two factors: within a block shrink_i grow_j, that is e^sum and
  // e^-sum of the steps from the start of the block; else from the end of j's block to i, times from j to that end.
  float *shrink, *grow, *to_block_end;
  float* from_block;       // [kBlocks,kQ]
  bool in_range[kBlocks];  // else a block leaves less than e^-40, and each M_ij has an exponential of its own,
  float* squares;          // [kBlocks,kMamba2Pad,kMamba2Pad]
  explicit Mamba2Decays(Mamba2Scratch& s)
      : raw_dt(s.take(kQ)),
        dt(s.take(kQ)),
        from_start(s.take(kQ)),
        to_end(s.take(kQ)),
        whole(0),
        shrink(s.take(kQ)),
        grow(s.take(kQ)),
        to_block_end(s.take(kQ)),
        from_block(s.take(kBlocks * kQ)),
        squares(s.take(kQ * kMamba2Pad)) {}

  // M_ij for the vector of steps from i on, which may begin before j but not after it in j's vector: 0 for i < j and
  // beyond a reset.
  [[gnu::always_inline]] vfloat at(const Mamba2Chunk& chunk, int64_t j, int64_t i) const {
    const int64_t block = j / kMamba2Pad, begin = block * kMamba2Pad;
    const vint lane = lane_numbers();
    vfloat m;
    if (i >= begin + kMamba2Pad) {
      m = to_block_end[j] * load(from_block + block * kQ + i);
    } else {
      m = in_range[block] ? grow[j] * load(shrink + i) : load(squares + j * kMamba2Pad + i - begin);
      m = select(lane >= static_cast<int32_t>(j - i), m, zero());
    }
    return chunk.has_resets ? select(lane + static_cast<int32_t>(i) < chunk.end[j], m, zero()) : m;
  }
};

template <class X>
static void load_dt(const Mamba2Task<X>& p, const Mamba2Chunk& chunk, int64_t h, const Mamba2Decays& d) {
  const X* dt = p.dt.data + chunk.first * p.dt.step + h * p.dt.head;
  for (int64_t j = 0; j < chunk.q; ++j) d.raw_dt[j] = static_cast<float>(dt[j * p.dt.step]) + p.dt_bias[h];
  for (int64_t j = chunk.q; j < chunk.padded; ++j) d.raw_dt[j] = 0;
  for (int64_t j = 0; j < chunk.padded; j += kLanes)
    store(d.dt + j, limited_softplus(load(d.raw_dt + j), p.dt_min, p.dt_max));
  for (int64_t j = chunk.q; j < chunk.padded; ++j) d.dt[j] = 0;
}

// square [kMamba2Pad,kMamba2Pad]: entry (j, i) is e to the sum of steps j + 1 .. i, for i >= j. From the last row up,
// so that each sum is the one below it and one step more.
static inline void decay_square(const float* step, float* square) {
  const vint lane = lane_numbers();
  for (int64_t i = 0; i < kMamba2Pad; i += kLanes) {
    vfloat exponent = zero();
    for (int64_t j = kMamba2Pad - 1; j >= 0; --j) {
      store(square + j * kMamba2Pad + i, decay(exponent));
      exponent = select(lane >= static_cast<int32_t>(j - i), exponent + step[j], zero());
    }
  }
}

// From dt', with a = -exp(a_log).
static inline void compute_decays(const Mamba2Chunk& chunk, float a, Mamba2Decays& d) {
  constexpr int64_t kBlocks = Mamba2Decays::kBlocks;
  const int64_t blocks = chunk.padded / kMamba2Pad;
  float step[kQ], sum[kQ], later[kQ];  // a dt'; its sums from the start of the block, and over the later steps of it
  float total[kBlocks] = {}, behind[kBlocks] = {};
  for (int64_t j = 0; j < kQ; j += kLanes) store(step + j, j < chunk.padded ? a * load(d.dt + j) : zero());
  for (int64_t j = 0; j < kMamba2Pad; ++j)  // all blocks side by side: their sums do not wait for each other
#pragma GCC unroll 4
    for (int64_t k = 0; k < kBlocks; ++k) {
      const int64_t forward = k * kMamba2Pad + j, backward = k * kMamba2Pad + kMamba2Pad - 1 - j;
      sum[forward] = total[k] += step[forward];
      later[backward] = behind[k];
      behind[k] += step[backward];
    }
  float before = 0;  // the sum over the blocks before block k
  for (int64_t k = 0; k < blocks; before += total[k++]) {
    const int64_t begin = k * kMamba2Pad, end = begin + kMamba2Pad;
    for (int64_t j = begin; j < end; j += kLanes) {
      store(d.shrink + j, decay(load(sum + j)));
      store(d.grow + j, exp(-max(broadcast(kLeastExponent), load(sum + j))));
      store(d.to_block_end + j, decay(load(later + j)));
      store(d.from_start + j, decay(before + load(sum + j)));
    }
    float between = 0;  // the sum over the blocks from k to that of i
    for (int64_t other = k + 1; other < blocks; between += total[other++])
      for (int64_t i = other * kMamba2Pad; i < (other + 1) * kMamba2Pad; i += kLanes)
        store(d.from_block + k * kQ + i, decay(between + load(sum + i)));
    for (int64_t j = begin; j < end; j += kLanes) store(d.to_end + j, decay(between + load(later + j)));
    d.in_range[k] = total[k] >= kLeastExponent;
    if (!d.in_range[k]) decay_square(step + begin, d.squares + begin * kMamba2Pad);
  }
  d.whole = chunk.has_resets ? 0 : d.from_start[chunk.padded - 1];
  if (!chunk.has_resets) return;
  for (int64_t j = chunk.first_reset; j < chunk.padded; ++j) d.from_start[j] = 0;
  for (int64_t j = 0; j < chunk.last_reset; ++j) d.to_end[j] = 0;
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
  load_heads(p.ssm_b, chunk.first, chunk.q, chunk.padded, 1, p.N, g.b);
  load_heads(p.ssm_c, chunk.first, chunk.q, chunk.padded, 1, p.N, g.c);
  transpose_into(g.c, n, chunk.padded, n, g.c_t, kQ, n, chunk.padded);
  upper_product(chunk.padded, n, g.b, g.c_t, g.cb_t);
}

}  // namespace vigor::VIGOR_ISA

#endif  // VIGOR_ISA
