#include "kernels/attention/attention_simd.h"

#include "kernels/vector_loop.h"
#include "kernels/vector_shuffles.h"

namespace vigor::VIGOR_ISA {
namespace {

constexpr int64_t kBlock = kAttentionBlock;
constexpr float kInfinity = __builtin_inff();

// e^x, but 0 where it would be below the normal numbers. A result that is not normal costs x86 well over a hundred
// cycles, and each masked score, x = -infinity, would make one.
VIGOR_INLINE vfloat exp_or_zero(vfloat x) {
  const float least = -87.0f;
  return select(x < least, zero(), exp(max(broadcast(least), x)));
}

// ---- small products ----
// C[m,n] (+)= A[m,k] B[k,n]. Entries of A are broadcast, so any strides do, and A may stand transposed; rows of B and
// C are contiguous.
struct Product {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_column;
  const float* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  bool add;
};

// R rows and V vectors of C stay in registers over the sum.
template <int R, int V, class Lanes>
VIGOR_INLINE void product_tile(const Product& p, int64_t i, int64_t j, Lanes lanes) {
  vfloat sum[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) sum[r][v] = p.add ? load(p.c + (i + r) * p.ldc + j + v * kLanes, lanes) : zero();
  const float *a = p.a + i * p.a_row, *b = p.b + j;
  for (int64_t x = 0; x < p.k; ++x, a += p.a_column, b += p.ldb) {
    vfloat row[V];
    for (int v = 0; v < V; ++v) row[v] = load(b + v * kLanes, lanes);
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) sum[r][v] = fma(row[v], a[r * p.a_row], sum[r][v]);
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) store(p.c + (i + r) * p.ldc + j + v * kLanes, sum[r][v], lanes);
}

template <int V, class Lanes>
VIGOR_INLINE void product_columns(const Product& p, int64_t j, Lanes lanes) {
  constexpr int kRows = kLanes == 16 ? 8 : 4;  // with V = 2 the sums fill half of the registers
  int64_t i = 0;
  for (; i + kRows <= p.m; i += kRows) product_tile<kRows, V>(p, i, j, lanes);
  for (; i < p.m; ++i) product_tile<1, V>(p, i, j, lanes);
}

void multiply(const Product& p) {
  int64_t j = 0;
  for (; j + 2 * kLanes <= p.n; j += 2 * kLanes) product_columns<2>(p, j, AllLanes{});
  for (; j + kLanes <= p.n; j += kLanes) product_columns<1>(p, j, AllLanes{});
  if (j < p.n) product_columns<1>(p, j, p.n - j);
}

// ---- rows of a head ----

// The rows in f32: f32 rows where they are, bf16 rows converted into `space`.
HeadRows<const float> f32_rows(HeadRows<const float> x, int64_t, int64_t, float*) { return x; }
HeadRows<const float> f32_rows(HeadRows<const bf16> x, int64_t rows, int64_t width, float* space) {
  for (int64_t i = 0; i < rows; ++i)
    for_each_vector(width, [&](int64_t c, auto lanes) {
      store(space + i * width + c, load(x.data + i * x.stride + c, lanes), lanes);
    });
  return {space, width};
}

template <class T>
HeadRows<T> rows_from(HeadRows<T> x, int64_t first) {
  return {x.data + first * x.stride, x.stride};
}

int64_t whole_vectors(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// out[c][i] = scale * x[i][c], with rows of kBlock elements; columns i >= rows are 0.
void transpose(HeadRows<const float> x, int64_t rows, int64_t width, float scale, float* out) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < width; ++c) out[c * kBlock + i] = scale * x.data[i * x.stride + c];
  for (int64_t i = rows; i < whole_vectors(rows); ++i)
    for (int64_t c = 0; c < width; ++c) out[c * kBlock + i] = 0;
}

template <class X, class S>
float dot(const X* x, const S* y, int64_t width) {
  vfloat sum = zero();
  for_each_vector(width, [&](int64_t c, auto lanes) { sum = fma(load(x + c, lanes), load(y + c, lanes), sum); });
  return horizontal_sum(sum);
}

// ---- blocks ----
// Scores stand transposed, S^T [keys,queries]: softmax over the keys is then the same work in every lane, without sums
// across lanes, and of all operands only the block of queries is transposed, once.

// st [keys,kBlock] = K Q^T, and -infinity where key first_key + j is not visible to query i.
void scores(HeadRows<const float> k, int64_t first_key, int64_t keys, const float* qt, int64_t queries, int64_t width,
            const VisibleKeys& visible, float* st) {
  const int64_t columns = whole_vectors(queries);
  multiply({keys, columns, width, k.data, k.stride, 1, qt, kBlock, st, kBlock, false});
  if (visible.of(0) >= first_key + keys) return;
  for (int64_t c = 0; c < columns; c += kLanes) {
    vint seen{};
    for (int64_t i = 0; i < kLanes; ++i) seen[i] = static_cast<int32_t>(visible.of(c + i) - first_key);
    for (int64_t j = 0; j < keys; ++j) {
      float* s = st + j * kBlock + c;
      store(s, select(seen > static_cast<int32_t>(j), load(s), broadcast(-kInfinity)));
    }
  }
}

// One more block of scores into the running maximum and sum; st becomes exp(st - maximum), and rescale [queries] what
// earlier sums must be multiplied by.
void softmax_step(int64_t keys, int64_t queries, float* st, float* maximum, float* sum, float* rescale) {
  for (int64_t c = 0; c < queries; c += kLanes) {
    const vfloat before = load(maximum + c);
    vfloat largest = before;
    for (int64_t j = 0; j < keys; ++j) largest = max(largest, load(st + j * kBlock + c));
    // While no key was visible the maximum is -infinity, which must not be subtracted from itself.
    const vfloat shift = select(largest == -kInfinity, zero(), largest);
    const vfloat factor = exp_or_zero(before - shift);
    vfloat total = load(sum + c) * factor;
    for (int64_t j = 0; j < keys; ++j) {
      const vfloat e = exp_or_zero(load(st + j * kBlock + c) - shift);
      store(st + j * kBlock + c, e);
      total += e;
    }
    store(maximum + c, largest);
    store(sum + c, total);
    store(rescale + c, factor);
  }
}

void scale_row(float* row, int64_t n, float factor) {
  for_each_vector(n, [&](int64_t c, auto lanes) { store(row + c, load(row + c, lanes) * factor, lanes); });
}

// y = row / sum and lse = maximum + log(sum); a query that saw nothing gives 0 and -infinity.
template <class X>
float finish_row(X* y, const float* row, int64_t n, float maximum, float sum) {
  const float factor = sum == 0 ? 0 : 1 / sum;
  for_each_vector(n, [&](int64_t c, auto lanes) { store(y + c, load(row + c, lanes) * factor, lanes); });
  return sum == 0 ? -kInfinity : maximum + __builtin_logf(sum);
}

template <class X>
void forward_block(const AttentionForwardBlock<X>& p) {
  float* qt = p.scratch;                  // [width,kBlock]
  float* o = qt + p.width * kBlock;       // [kBlock,width], sum of exp(s - maximum) v
  float* k_space = o + p.width * kBlock;  // [kBlock,width]
  float* v_space = k_space + p.width * kBlock;
  float* st = v_space + p.width * kBlock;  // [kBlock,kBlock]
  float *maximum = st + kBlock * kBlock, *sum = maximum + kBlock, *rescale = sum + kBlock;
  transpose(f32_rows(p.q, p.queries, p.width, o), p.queries, p.width, p.scale, qt);
  for (int64_t i = 0; i < kBlock; ++i) {
    maximum[i] = -kInfinity;
    sum[i] = 0;
  }
  fill_zeros(o, p.queries * p.width);

  const int64_t end = p.visible.of(p.queries - 1);
  for (int64_t first = 0; first < end; first += kBlock) {
    const int64_t keys = end - first < kBlock ? end - first : kBlock;
    const HeadRows<const float> k = f32_rows(rows_from(p.k, first), keys, p.width, k_space);
    const HeadRows<const float> v = f32_rows(rows_from(p.v, first), keys, p.width, v_space);
    scores(k, first, keys, qt, p.queries, p.width, p.visible, st);
    softmax_step(keys, p.queries, st, maximum, sum, rescale);
    for (int64_t i = 0; first > 0 && i < p.queries; ++i) scale_row(o + i * p.width, p.width, rescale[i]);
    multiply({p.queries, p.width, keys, st, 1, kBlock, v.data, v.stride, o, p.width, true});
  }
  for (int64_t i = 0; i < p.queries; ++i)
    p.lse[i] = finish_row(p.y.data + i * p.y.stride, o + i * p.width, p.width, maximum[i], sum[i]);
}

template <class X>
void backward_block(const AttentionBackwardBlock<X>& p) {
  const int64_t space = p.width * kBlock;
  float *qt = p.scratch, *dyt = qt + space;                   // [width,kBlock]
  float *q_space = dyt + space, *dy_space = q_space + space;  // [kBlock,width]
  float *k_space = dy_space + space, *v_space = k_space + space;
  float* pt = v_space + space;                                   // [kBlock,kBlock]: p, transposed
  float* dst = pt + kBlock * kBlock;                             // [kBlock,kBlock]: dp, then scale * ds
  float *lse = dst + kBlock * kBlock, *row_term = lse + kBlock;  // row_term: y . dy - dlse
  const int64_t columns = whole_vectors(p.queries);
  const HeadRows<const float> q = f32_rows(p.q, p.queries, p.width, q_space);
  const HeadRows<const float> dy = f32_rows(p.dy, p.queries, p.width, dy_space);
  transpose(q, p.queries, p.width, p.scale, qt);
  transpose(dy, p.queries, p.width, 1, dyt);
  for (int64_t i = 0; i < columns; ++i) {
    const bool real = i < p.queries;
    lse[i] = real && p.lse[i] != -kInfinity ? p.lse[i] : 0;  // no visible key: p is 0 by the mask
    row_term[i] = real ? dot(p.y.data + i * p.y.stride, dy.data + i * dy.stride, p.width) : 0;
    if (real && p.dlse != nullptr) row_term[i] -= p.dlse[i];
  }
  const int64_t end = p.visible.of(p.queries - 1);
  if (end == 0)
    for (int64_t i = 0; i < p.queries; ++i) fill_zeros(p.dq.data + i * p.dq.stride, p.width);

  for (int64_t first = 0; first < end; first += kBlock) {
    const int64_t keys = end - first < kBlock ? end - first : kBlock;
    const HeadRows<const float> k = f32_rows(rows_from(p.k, first), keys, p.width, k_space);
    const HeadRows<const float> v = f32_rows(rows_from(p.v, first), keys, p.width, v_space);
    scores(k, first, keys, qt, p.queries, p.width, p.visible, pt);
    multiply({keys, columns, p.width, v.data, v.stride, 1, dyt, kBlock, dst, kBlock, false});  // dp = V dy^T
    for (int64_t c = 0; c < columns; c += kLanes) {
      const vfloat lse_c = load(lse + c), term = load(row_term + c);
      for (int64_t j = c, n = 0; n < keys; ++n, j += kBlock) {
        const vfloat probability = exp_or_zero(load(pt + j) - lse_c);
        store(pt + j, probability);
        store(dst + j, probability * (load(dst + j) - term) * p.scale);  // scale * ds
      }
    }
    const HeadRows<float> dk = rows_from(p.dk, first), dv = rows_from(p.dv, first);
    multiply({keys, p.width, p.queries, pt, kBlock, 1, dy.data, dy.stride, dv.data, dv.stride, true});
    multiply({keys, p.width, p.queries, dst, kBlock, 1, q.data, q.stride, dk.data, dk.stride, true});
    multiply({p.queries, p.width, keys, dst, 1, kBlock, k.data, k.stride, p.dq.data, p.dq.stride, first > 0});
  }
}

// ---- few queries ----
// Each key and value is read from memory once and used by all heads that share it, up to four queries at a time: they
// stay in registers while a row goes by. While one block is worked on the next one is fetched, keys and values in
// turns. Scores are dot products, because transposing a block would cost more than a few queries gain by it.

// s[r][j] = q_r . k_j for R queries [R,width] and `keys` rows of k. Rows of `next` are fetched, as many.
template <int R, class X>
VIGOR_INLINE void query_scores(const float* q, HeadRows<const X> k, HeadRows<const X> next, int64_t keys, int64_t width,
                               float* s) {
  constexpr int64_t kKeys = kLanes / R;  // at a time: a vector of scores
  for (int64_t first = 0; first < keys; first += kKeys) {
    const X *row[kKeys], *next_row[kKeys];
    for (int64_t j = 0; j < kKeys; ++j) {  // those behind the last one repeat it
      const int64_t at = first + j < keys ? first + j : keys - 1;
      row[j] = k.data + at * k.stride;
      next_row[j] = next.data + at * next.stride;
    }
    vfloat sum[kLanes] = {};
    for_each_vector(width, [&](int64_t c, auto lanes) {
      vfloat q_c[R];
      for (int r = 0; r < R; ++r) q_c[r] = load(q + r * width + c, lanes);
#pragma GCC unroll 16
      for (int64_t j = 0; j < kKeys; ++j) {
        const vfloat key = load(row[j] + c, lanes);
        __builtin_prefetch(next_row[j] + c, 0, 2);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) sum[r * kKeys + j] = fma(q_c[r], key, sum[r * kKeys + j]);
      }
    });
    float score[kLanes];
    store(score, horizontal_sums(sum));
    for (int r = 0; r < R; ++r) __builtin_memcpy(s + r * kBlock + first, score + r * kKeys, kKeys * sizeof(float));
  }
}

// One more block of scores s [n] of a query into its running maximum and sum; s becomes exp(s - maximum), and 0 from
// `visible` on. Returns what earlier sums must be multiplied by.
float softmax_step(int64_t n, int64_t visible, float* s, float& maximum, float& sum) {
  for (int64_t j = visible > 0 ? visible : 0; j < n; ++j) s[j] = -kInfinity;
  vfloat top = broadcast(maximum);
  for_each_vector(n, [&](int64_t j, auto lanes) { top = max(top, keep(load(s + j, lanes), lanes, -kInfinity)); });
  const float largest = horizontal_max(top), shift = largest == -kInfinity ? 0 : largest;
  vfloat total = zero();
  for_each_vector(n, [&](int64_t j, auto lanes) {
    const vfloat e = keep(exp_or_zero(load(s + j, lanes) - shift), lanes, 0);
    store(s + j, e, lanes);
    total += e;
  });
  const float rescale = exp_or_zero(broadcast(maximum - shift))[0];
  maximum = largest;
  sum = sum * rescale + horizontal_sum(total);
  return rescale;
}

// o_r = rescale_r o_r + sum_j weight[r][j] v_j. Rows of `next` are fetched, as many.
template <int R, class X>
VIGOR_INLINE void add_values(const float* weight, HeadRows<const X> v, HeadRows<const X> next, int64_t keys,
                             int64_t width, const float* rescale, float* o) {
  constexpr int kWays = R == 4 ? 2 : 4;  // sums of a row, because one alone would wait for the latency of every fma
  for_each_vector(width, [&](int64_t c, auto lanes) {
    vfloat sum[kWays][R] = {};
    for (int r = 0; r < R; ++r) sum[0][r] = load(o + r * width + c, lanes) * rescale[r];
    int64_t j = 0;
    for (; j + kWays <= keys; j += kWays) {
#pragma GCC unroll 4
      for (int way = 0; way < kWays; ++way) {
        const vfloat value = load(v.data + (j + way) * v.stride + c, lanes);
        __builtin_prefetch(next.data + (j + way) * next.stride + c, 0, 2);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) sum[way][r] = fma(value, weight[r * kBlock + j + way], sum[way][r]);
      }
    }
    for (; j < keys; ++j)
      for (int r = 0; r < R; ++r)
        sum[0][r] = fma(load(v.data + j * v.stride + c, lanes), weight[r * kBlock + j], sum[0][r]);
    for (int r = 0; r < R; ++r) {
      for (int way = 1; way < kWays; ++way) sum[0][r] += sum[way][r];
      store(o + r * width + c, sum[0][r], lanes);
    }
  });
}

// Rows [row, row + R) of all heads * queries, over the block of keys from `first` on.
template <int R, class X>
VIGOR_INLINE void few_queries_block(const AttentionFewQueries<X>& p, int64_t row, int64_t first, int64_t keys,
                                    const float* q, float* o, float* maximum, float* sum, float* weight) {
  const HeadRows<const X> k = rows_from(p.k, first), v = rows_from(p.v, first);
  query_scores<R>(q + row * p.width, k, v, keys, p.width, weight);
  float rescale[R];
  for (int r = 0; r < R; ++r)
    rescale[r] = softmax_step(keys, p.visible.of((row + r) % p.queries) - first, weight + r * kBlock, maximum[row + r],
                              sum[row + r]);
  add_values<R>(weight, v, rows_from(k, kBlock), keys, p.width, rescale, o + row * p.width);
}

template <class X>
void few_queries(const AttentionFewQueries<X>& p) {
  const int64_t rows = p.heads * p.queries;
  float *o = p.scratch, *q = o + rows * p.width;               // [rows,width]
  float *maximum = q + rows * p.width, *sum = maximum + rows;  // [rows]
  float* weight = sum + rows;                                  // [4,kBlock]
  fill_zeros(o, rows * p.width);
  for (int64_t row = 0; row < rows; ++row) {
    const X* from = p.q.data + row / p.queries * p.q_head_stride + row % p.queries * p.q.stride;
    for_each_vector(
        p.width, [&](int64_t c, auto lanes) { store(q + row * p.width + c, load(from + c, lanes) * p.scale, lanes); });
    maximum[row] = -kInfinity;
    sum[row] = 0;
  }
  const int64_t end = p.visible.of(p.queries - 1);
  for (int64_t first = 0; first < end; first += kBlock) {
    const int64_t keys = end - first < kBlock ? end - first : kBlock;
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) few_queries_block<4>(p, row, first, keys, q, o, maximum, sum, weight);
    if (row + 2 <= rows) few_queries_block<2>(p, row, first, keys, q, o, maximum, sum, weight);
    if (rows % 2 == 1) few_queries_block<1>(p, rows - 1, first, keys, q, o, maximum, sum, weight);
  }
  for (int64_t row = 0; row < rows; ++row) {
    X* y = p.y.data + row / p.queries * p.y_head_stride + row % p.queries * p.y.stride;
    p.lse[row] = finish_row(y, o + row * p.width, p.width, maximum[row], sum[row]);
  }
}

}  // namespace

void attention_forward_block(const AttentionForwardBlock<float>& p) { forward_block(p); }
void attention_forward_block(const AttentionForwardBlock<bf16>& p) { forward_block(p); }
void attention_backward_block(const AttentionBackwardBlock<float>& p) { backward_block(p); }
void attention_backward_block(const AttentionBackwardBlock<bf16>& p) { backward_block(p); }
void attention_few_queries(const AttentionFewQueries<float>& p) { few_queries(p); }
void attention_few_queries(const AttentionFewQueries<bf16>& p) { few_queries(p); }

}  // namespace vigor::VIGOR_ISA
