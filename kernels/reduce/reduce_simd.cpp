#include "kernels/reduce/reduce_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

struct Sum {
  static constexpr float kIdentity = 0;
  VIGOR_INLINE vfloat combine(vfloat total, vfloat x) { return total + x; }
  VIGOR_INLINE double combine(double total, double x) { return total + x; }
};

struct Max {
  static constexpr float kIdentity = -__builtin_inff();
  VIGOR_INLINE vfloat combine(vfloat total, vfloat x) { return select((x > total) | (x != x), x, total); }
  VIGOR_INLINE double combine(double total, double x) { return x > total || x != x ? x : total; }
};

template <class F>
VIGOR_INLINE auto visit(Reduction r, F f) {
  return r == Reduction::sum ? f(Sum{}) : f(Max{});
}

// Sums of this many elements are formed in f32, 64 of them in each lane of four vectors; they are added up in f64, so
// that the error does not grow with n.
constexpr int64_t kChunk = 64 * 4 * kLanes;

template <class R, class T>
double reduce_chunk(const T* x, int64_t n) {
  // Four chains hide the latency of the addition.
  vfloat total[4];
  for (vfloat& v : total) v = broadcast(R::kIdentity);
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int64_t k = 0; k < 4; ++k) total[k] = R::combine(total[k], load(x + i + k * kLanes));
  for_each_vector(n - i, [&](int64_t j, auto lanes) {
    total[0] = R::combine(total[0], keep(load(x + i + j, lanes), lanes, R::kIdentity));
  });
  float lane[kLanes];
  store(lane, R::combine(R::combine(total[0], total[1]), R::combine(total[2], total[3])));
  double result = static_cast<double>(R::kIdentity);
  for (float value : lane) result = R::combine(result, static_cast<double>(value));
  return result;
}

template <class T>
double reduce_row_loop(Reduction r, const T* x, int64_t n) {
  return visit(r, [=](auto reduction) {
    using R = decltype(reduction);
    double total = static_cast<double>(R::kIdentity);
    for (int64_t i = 0; i < n; i += kChunk)
      total = R::combine(total, reduce_chunk<R>(x + i, n - i < kChunk ? n - i : kChunk));
    return total;
  });
}

constexpr int64_t kChunkRows = 128;  // likewise for columns

template <class T>
void reduce_columns_loop(Reduction r, double* total, const T* x, int64_t rows, int64_t row_stride, int64_t columns) {
  visit(r, [=](auto reduction) {
    using R = decltype(reduction);
    for (int64_t first = 0; first < rows; first += kChunkRows) {
      float chunk[kReduceColumns];
      for (float& value : chunk) value = R::kIdentity;
      const int64_t end = first + kChunkRows < rows ? first + kChunkRows : rows;
      for (int64_t row = first; row < end; ++row)
        for_each_vector(columns, [&](int64_t c, auto lanes) {
          store(chunk + c, R::combine(load(chunk + c, lanes), load(x + row * row_stride + c, lanes)), lanes);
        });
      for (int64_t c = 0; c < columns; ++c) total[c] = R::combine(total[c], static_cast<double>(chunk[c]));
    }
  });
}

}  // namespace

double reduce_row(Reduction r, const float* x, int64_t n) { return reduce_row_loop(r, x, n); }
double reduce_row(Reduction r, const bf16* x, int64_t n) { return reduce_row_loop(r, x, n); }
void reduce_columns(Reduction r, double* total, const float* x, int64_t rows, int64_t row_stride, int64_t columns) {
  reduce_columns_loop(r, total, x, rows, row_stride, columns);
}
void reduce_columns(Reduction r, double* total, const bf16* x, int64_t rows, int64_t row_stride, int64_t columns) {
  reduce_columns_loop(r, total, x, rows, row_stride, columns);
}

}  // namespace vigor::VIGOR_ISA
