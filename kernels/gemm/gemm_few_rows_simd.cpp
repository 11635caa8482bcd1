// x W^T for a few rows of x: decoding. W is read once, row by row as it is stored, so the memory sets the pace and
// packing would only add traffic. Each output is a dot product: kLanes partial sums, then their sum in a fixed order.
#include "kernels/gemm/gemm_kernels.h"

namespace vigor::VIGOR_ISA {
namespace {

// M rows of x against J rows of W, M * J accumulators.
template <int M, int J, class X, class W>
void dot_products(const GemmFewRows<X, W>& p, const X* x, int64_t n, float* c) {
  vfloat sum[M][J] = {};
  const W* w = p.w + n * p.ldw;
  int64_t k = 0;
  for (; k + kLanes <= p.k; k += kLanes) {
    vfloat weight[J];
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) {
      weight[j] = load(w + j * p.ldw + k);
      // The same place J rows on: it is needed next, and a row is too short for the hardware to run ahead by itself.
      __builtin_prefetch(w + (J + j) * p.ldw + k, 0, 3);
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      const vfloat input = load(x + i * p.ldx + k);
#pragma GCC unroll 8
      for (int j = 0; j < J; ++j) sum[i][j] = fma(input, weight[j], sum[i][j]);
    }
  }
  if (k < p.k) {
    for (int j = 0; j < J; ++j) {
      const vfloat weight = load_partial(w + j * p.ldw + k, p.k - k);
      for (int i = 0; i < M; ++i) sum[i][j] = fma(load_partial(x + i * p.ldx + k, p.k - k), weight, sum[i][j]);
    }
  }
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < J; ++j) {
      float& out = c[i * p.ldc + n + j];
      out = p.add ? out + horizontal_sum(sum[i][j]) : horizontal_sum(sum[i][j]);
    }
  }
}

template <int M, class X, class W>
void rows(const GemmFewRows<X, W>& p, const X* x, float* c) {
  constexpr int J = M <= 2 ? 4 : 2;  // at least 4 accumulators and 4 streams for one row, at most 8
  int64_t n = p.n_begin;
  for (; n + J <= p.n_end; n += J) dot_products<M, J>(p, x, n, c);
  for (; n < p.n_end; ++n) dot_products<M, 1>(p, x, n, c);
}

// Four rows of x at a time; W comes from memory for the first and from the cache for the second four.
template <class X, class W>
void few_rows(const GemmFewRows<X, W>& p) {
  constexpr int64_t strip = 32;  // rows of W that stay in the cache
  for (int64_t n = p.n_begin; n < p.n_end; n += strip) {
    GemmFewRows<X, W> q = p;
    q.n_begin = n;
    q.n_end = n + strip < p.n_end ? n + strip : p.n_end;
    for (int64_t i = 0; i < p.m; i += 4) {
      const X* x = p.x + i * p.ldx;
      float* c = p.c + i * p.ldc;
      switch (p.m - i) {
        case 1:
          rows<1>(q, x, c);
          break;
        case 2:
          rows<2>(q, x, c);
          break;
        case 3:
          rows<3>(q, x, c);
          break;
        default:
          rows<4>(q, x, c);
          break;
      }
    }
  }
}

}  // namespace

void gemm_few_rows(const GemmFewRows<float, float>& p) { few_rows(p); }
void gemm_few_rows(const GemmFewRows<float, bf16>& p) { few_rows(p); }
void gemm_few_rows(const GemmFewRows<bf16, float>& p) { few_rows(p); }
void gemm_few_rows(const GemmFewRows<bf16, bf16>& p) { few_rows(p); }

}  // namespace vigor::VIGOR_ISA
