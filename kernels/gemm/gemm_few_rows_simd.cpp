// x W^T for a few rows of x: decoding. W is read once, row by row as it is stored, so the memory sets the pace and
// packing would only add traffic. Each output is a dot product: kLanes partial sums, then their sum in a fixed order.
#include "kernels/gemm/gemm_kernels.h"

namespace vigor::VIGOR_ISA {
namespace {

constexpr int64_t kPrefetchBytes = 16384;  // how far ahead: further than the hardware does for rows this short

// What a step takes of a row of W: 32 or 64 bytes, and as much of x. Steps of two vectors of f32 are slower.
template <class W>
struct Piece {
  static constexpr int64_t kParts = sizeof(float) / sizeof(W), kElements = kParts * kLanes;
  vfloat part[kParts];
};

// bf16 are taken in pairs: as one word, the even one is its lower half and the odd one its upper half, which a shift
// and a mask take apart; widening them in order costs more than the memory takes.
VIGOR_INLINE Piece<float> weights(const float* w) { return {{load(w)}}; }
VIGOR_INLINE Piece<bf16> weights(const bf16* w) {
  typedef uint32_t unaligned __attribute__((vector_size(kLanes * 4), aligned(2), may_alias));
  const vuint pairs = *reinterpret_cast<const unaligned*>(w);
  return {{reinterpret_cast<vfloat>(pairs << 16), reinterpret_cast<vfloat>(pairs & 0xffff0000u)}};
}

VIGOR_INLINE Piece<bf16> even_and_odd(vfloat a, vfloat b) {
#if defined(VIGOR_ISA_IS_avx512)
  return {{__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
           __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)}};
#elif defined(VIGOR_ISA_IS_avx2)
  return {{__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14),
           __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)}};
#else
  return {{__builtin_shufflevector(a, b, 0, 2, 4, 6), __builtin_shufflevector(a, b, 1, 3, 5, 7)}};
#endif
}

// Inputs in the order of the weights.
template <class X>
VIGOR_INLINE Piece<float> inputs(const X* x, const float*) {
  return {{load(x)}};
}
VIGOR_INLINE Piece<bf16> inputs(const float* x, const bf16*) { return even_and_odd(load(x), load(x + kLanes)); }
VIGOR_INLINE Piece<bf16> inputs(const bf16* x, const bf16*) { return weights(x); }

// M rows of x against J rows of W, M * J accumulators. `ahead` is a distance in W, of whole groups of J rows.
template <int M, int J, class X, class W>
void dot_products(const GemmFewRows<X, W>& p, const X* x, int64_t n, int64_t ahead, float* c) {
  using P = Piece<W>;
  vfloat sum[M][J] = {};
  const W* w = p.w + n * p.ldw;
  int64_t k = 0;
  for (; k + P::kElements <= p.k; k += P::kElements) {
    P input[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) input[i] = inputs(x + i * p.ldx + k, w);
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) {
      const P weight = weights(w + j * p.ldw + k);
      __builtin_prefetch(w + j * p.ldw + k + ahead, 0, 2);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i)
        for (int part = 0; part < P::kParts; ++part) sum[i][j] = fma(input[i].part[part], weight.part[part], sum[i][j]);
    }
  }
  for (; k < p.k; k += kLanes) {
    const int64_t lanes = p.k - k < kLanes ? p.k - k : kLanes;
    for (int j = 0; j < J; ++j) {
      const vfloat weight = load_partial(w + j * p.ldw + k, lanes);
      for (int i = 0; i < M; ++i) sum[i][j] = fma(load_partial(x + i * p.ldx + k, lanes), weight, sum[i][j]);
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
  const int64_t group = J * p.ldw, groups = kPrefetchBytes / (group * int64_t{sizeof(W)});
  const int64_t ahead = group * (groups > 1 ? groups : 1);
  int64_t n = p.n_begin;
  for (; n + J <= p.n_end; n += J) dot_products<M, J>(p, x, n, ahead, c);
  for (; n < p.n_end; ++n) dot_products<M, 1>(p, x, n, ahead, c);
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
