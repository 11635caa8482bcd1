// Bias, GELU and its gradient on finished rows of C, and sums over columns.
#include "kernels/gelu/gelu_simd.h"
#include "kernels/gemm/gemm_kernels.h"

namespace vigor::VIGOR_ISA {
namespace {

template <class T>
vfloat load_upto(const T* p, int64_t n) {
  return n == kLanes ? load(p) : load_partial(p, n);
}

template <class T>
void store_upto(T* p, vfloat v, int64_t n) {
  if (n == kLanes) store(p, v);
  else store_partial(p, v, n);
}

template <class T>
void epilogue(const GemmEpilogue& e, int64_t m, int64_t n, const float* s, int64_t lds, T* c, int64_t ldc) {
  const T* bias = static_cast<const T*>(e.bias_data);
  for (int64_t i = 0; i < m; ++i) {
    T* pre = e.pre_data ? static_cast<T*>(e.pre_data) + i * ldc : nullptr;
    for (int64_t j = 0; j < n; j += kLanes) {
      const int64_t width = n - j < kLanes ? n - j : kLanes;
      vfloat v = load_upto(s + i * lds + j, width);
      switch (e.kind) {
        case GemmEpilogue::Kind::none:
          break;
        case GemmEpilogue::Kind::bias:
          v += load_upto(bias + j, width);
          break;
        case GemmEpilogue::Kind::bias_gelu:
          v += load_upto(bias + j, width);
          store_upto(pre + j, v, width);
          v = gelu_erf(v);
          break;
        case GemmEpilogue::Kind::gelu_gradient:
          v *= gelu_erf_gradient(load_upto(pre + j, width));
          break;
      }
      store_upto(c + i * ldc + j, v, width);
    }
  }
}

// Four vectors of columns at a time: long enough rows for the prefetcher, and the sums stay in registers.
template <class T>
void sum_columns(int64_t m, int64_t n, const T* x, int64_t ldx, float* sum, bool add) {
  constexpr int64_t vectors = 4;
  int64_t j = 0;
  for (; j + vectors * kLanes <= n; j += vectors * kLanes) {
    vfloat total[vectors] = {};
    for (int64_t i = 0; i < m; ++i)
      for (int64_t v = 0; v < vectors; ++v) total[v] += load(x + i * ldx + j + v * kLanes);
    for (int64_t v = 0; v < vectors; ++v) {
      float* out = sum + j + v * kLanes;
      store(out, add ? total[v] + load(out) : total[v]);
    }
  }
  for (; j < n; j += kLanes) {
    const int64_t width = n - j < kLanes ? n - j : kLanes;
    vfloat total = zero();
    for (int64_t i = 0; i < m; ++i) total += load_upto(x + i * ldx + j, width);
    store_upto(sum + j, add ? total + load_upto(sum + j, width) : total, width);
  }
}

}  // namespace

void gemm_epilogue(const GemmEpilogue& e, int64_t m, int64_t n, const float* s, int64_t lds, float* c, int64_t ldc) {
  epilogue(e, m, n, s, lds, c, ldc);
}
void gemm_epilogue(const GemmEpilogue& e, int64_t m, int64_t n, const float* s, int64_t lds, bf16* c, int64_t ldc) {
  epilogue(e, m, n, s, lds, c, ldc);
}

void column_sum(int64_t m, int64_t n, const float* x, int64_t ldx, float* sum, bool add) {
  sum_columns(m, n, x, ldx, sum, add);
}
void column_sum(int64_t m, int64_t n, const bf16* x, int64_t ldx, float* sum, bool add) {
  sum_columns(m, n, x, ldx, sum, add);
}
void column_sum(int64_t m, int64_t n, const double* x, int64_t ldx, double* sum, bool add) {
  for (int64_t j = 0; j < n; ++j) {
    double total = add ? sum[j] : 0.0;
    for (int64_t i = 0; i < m; ++i) total += x[i * ldx + j];
    sum[j] = total;
  }
}

}  // namespace vigor::VIGOR_ISA
