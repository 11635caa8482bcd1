// The driver: threads, blocks and packing around the micro-kernels, and the choice between the paths.
//
//   for each block of columns of C (block_n)
//     for each block of k (block_k)
//       all threads pack the block of B together                                          -- barrier
//       each thread, for its part of C: for each block of rows (block_m): pack A, gemm_block
//                                                                                         -- barrier
// Every element of C belongs to one thread and takes its sum over k in the same order whatever the number of threads.
#include "kernels/gemm/gemm.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <type_traits>

#include "kernels/gemm/gemm_backends.h"
#include "kernels/gemm/gemm_kernels.h"
#include "tensor/check.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace vigor {
namespace {

// ---- threads ------------------------------------------------------------------------------------------------------

int thread_index() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

int team_size() {
#if defined(_OPENMP)
  return omp_get_num_threads();
#else
  return 1;
#endif
}

// Threads worth starting for `work` operations; one inside a parallel region. Waking a thread costs about as much as
// half a million multiply-adds.
int threads_for(double work) {
#if defined(_OPENMP)
  if (omp_in_parallel()) return 1;
  return static_cast<int>(std::min<double>(omp_get_max_threads(), 1.0 + work / 500'000.0));
#else
  static_cast<void>(work);
  return 1;
#endif
}

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// Part `index` of `parts` of [0, n), cut at multiples of `unit`.
Range part_of(int64_t n, int64_t unit, int64_t index, int64_t parts) {
  const int64_t units = (n + unit - 1) / unit;
  return {std::min(n, units * index / parts * unit), std::min(n, units * (index + 1) / parts * unit)};
}

// C cut into row_parts x column_parts. Of the ways to use all threads, the one with the smallest largest part; rows
// first, because threads with different rows pack different parts of A.
struct Grid {
  int64_t row_parts = 1, column_parts = 1;

  Grid(int64_t m, int64_t n, const GemmTiling& tiling, int threads) {
    int64_t least = -1;
    for (int64_t rows = threads; rows >= 1; --rows) {
      if (threads % rows != 0) continue;
      const int64_t columns = threads / rows;
      const int64_t tall = (m + rows - 1) / rows, panels = (n + tiling.panel_columns - 1) / tiling.panel_columns;
      const int64_t wide = (panels + columns - 1) / columns * tiling.panel_columns;
      // A tile lower than half the full height leaves the multipliers waiting.
      const int64_t cost = std::max(tall, tiling.tile_rows / 2) * wide;
      if (least >= 0 && cost >= least) continue;
      least = cost;
      row_parts = rows;
      column_parts = columns;
    }
  }
};

// ---- memory -------------------------------------------------------------------------------------------------------

// One growing buffer, aligned to cache lines.
class Scratch {
 public:
  template <class T>
  T* get(int64_t count) {
    const size_t nbytes = static_cast<size_t>(count) * sizeof(T);
    if (nbytes > nbytes_) {
      data_.reset();
      data_.reset(static_cast<std::byte*>(::operator new (nbytes, std::align_val_t{64})));
      nbytes_ = nbytes;
    }
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t nbytes_ = 0;
};

thread_local Scratch packed_panels;
thread_local Scratch f32_rows;  // C in f32 before it is rounded to bf16

// ---- the own product ----------------------------------------------------------------------------------------------

template <class S>
struct Matrix {
  const S* data;
  int64_t ld;
  Transpose transpose;

  explicit Matrix(const GemmInput& x) : data(static_cast<const S*>(x.data)), ld(x.ld), transpose(x.transpose) {}
  // op(X) from row i and column j on
  const S* at(int64_t i, int64_t j) const {
    return transpose == Transpose::yes ? data + j * ld + i : data + i * ld + j;
  }
};

// The largest block of at most `limit` that cuts n evenly, rounded up to `unit`.
int64_t even_block(int64_t n, int64_t limit, int64_t unit) {
  const int64_t blocks = std::max<int64_t>(1, (n + limit - 1) / limit);
  const int64_t size = (n + blocks - 1) / blocks;
  return (size + unit - 1) / unit * unit;
}

GemmEpilogue epilogue_at(const GemmEpilogue& e, int64_t i, int64_t j, int64_t ldc) {
  GemmEpilogue moved = e;
  if (e.bias_data) moved.bias_data = static_cast<const float*>(e.bias_data) + j;
  if (e.pre_data) moved.pre_data = static_cast<float*>(e.pre_data) + i * ldc + j;
  return moved;
}

template <class T, class A, class B>
void packed_gemm(int64_t m, int64_t n, int64_t k, Matrix<A> a, Matrix<B> b, T* c, int64_t ldc, bool add,
                 const GemmEpilogue& epilogue) {
  const GemmTiling tiling = VIGOR_PICK(gemm_tiling)(static_cast<const T*>(nullptr));
  const int64_t block_k = even_block(k, tiling.block_k, 8);
  const int64_t block_n = even_block(n, tiling.block_n, tiling.panel_columns);
  const int64_t a_size = (tiling.block_m * block_k + kPackSlack + 15) / 16 * 16;
  const int threads = threads_for(2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
  T* const packed_b = packed_panels.get<T>(block_n * block_k + threads * a_size);

#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const int64_t me = thread_index(), team = team_size();
    const Grid grid(m, n, tiling, static_cast<int>(team));
    T* const packed_a = packed_b + block_n * block_k + me * a_size;
    const Range rows = part_of(m, 1, me / grid.column_parts, grid.row_parts);
    const int64_t block_m = even_block(std::max<int64_t>(rows.size(), 1), tiling.block_m, 1);
    for (int64_t j = 0; j < n; j += block_n) {
      const int64_t width = std::min(block_n, n - j);
      const Range pack = part_of(width, tiling.panel_columns, me, team);
      const Range columns = part_of(width, tiling.panel_columns, me % grid.column_parts, grid.column_parts);
      for (int64_t p = 0; p < k; p += block_k) {
        const int64_t depth = std::min(block_k, k - p);
        const bool last = p + depth == k;
        VIGOR_PICK(gemm_pack_b)
        (b.at(p, j + pack.begin), b.ld, b.transpose == Transpose::yes, depth, pack.size(),
         packed_b + pack.begin * depth);
#pragma omp barrier
        for (int64_t i = rows.begin; i < rows.end && columns.size() > 0; i += block_m) {
          const int64_t height = std::min(block_m, rows.end - i);
          VIGOR_PICK(gemm_pack_a)(a.at(i, p), a.ld, a.transpose == Transpose::no, height, depth, packed_a);
          VIGOR_PICK(gemm_block)
          (GemmBlock<T>{height, columns.size(), depth, packed_a, packed_b + columns.begin * depth,
                        c + i * ldc + j + columns.begin, ldc, add || p > 0,
                        last ? epilogue_at(epilogue, i, j + columns.begin, ldc) : GemmEpilogue::none()});
        }
#pragma omp barrier
      }
    }
  }
}

template <class A, class B>
void few_rows_gemm(int64_t m, int64_t n, int64_t k, Matrix<A> a, Matrix<B> b, float* c, int64_t ldc, bool add,
                   const GemmEpilogue& epilogue) {
  const int threads = threads_for(static_cast<double>(std::max<int64_t>(m, 4) * n * k));
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const Range columns = part_of(n, 16, thread_index(), team_size());
    VIGOR_PICK(gemm_few_rows)
    (GemmFewRows<A, B>{m, k, columns.begin, columns.end, a.data, a.ld, b.data, b.ld, c, ldc, add});
    VIGOR_PICK(gemm_epilogue)
    (epilogue_at(epilogue, 0, columns.begin, ldc), m, columns.size(), c + columns.begin, ldc, c + columns.begin, ldc);
  }
}

// The epilogue as a pass of its own, S to C, for products that other code has finished.
template <class T>
void epilogue_pass(const GemmEpilogue& e, int64_t m, int64_t n, const float* s, int64_t lds, T* c, int64_t ldc) {
  const int threads = threads_for(static_cast<double>(m * n) * 4.0);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const Range rows = part_of(m, 1, thread_index(), team_size());
    GemmEpilogue mine = e;
    if (e.pre_data) mine.pre_data = static_cast<T*>(e.pre_data) + rows.begin * ldc;
    VIGOR_PICK(gemm_epilogue)
    (mine, rows.size(), n, s + rows.begin * lds, lds, c + rows.begin * ldc, ldc);
  }
}

// op(A) op(B) into f32 C by our own kernels.
template <class A, class B>
void own_gemm(int64_t m, int64_t n, int64_t k, Matrix<A> a, Matrix<B> b, float* c, int64_t ldc, bool add,
              const GemmEpilogue& epilogue) {
  if (k == 0) {
    for (int64_t i = 0; i < m && !add; ++i) std::fill_n(c + i * ldc, n, 0.0f);
    epilogue_pass(epilogue, m, n, c, ldc, c, ldc);
  } else if (m <= kFewRows && a.transpose == Transpose::no && b.transpose == Transpose::yes) {
    few_rows_gemm(m, n, k, a, b, c, ldc, add, epilogue);
  } else {
    packed_gemm(m, n, k, a, b, c, ldc, add, epilogue);
  }
}

// bf16 C: the whole sum in f32, a block of rows at a time, then rounded once.
template <class A, class B>
void own_gemm(int64_t m, int64_t n, int64_t k, Matrix<A> a, Matrix<B> b, bf16* c, int64_t ldc, bool add,
              const GemmEpilogue& epilogue) {
  constexpr int64_t kRows = 512;
  float* const sums = f32_rows.get<float>(std::min(kRows, m) * n);
  for (int64_t i = 0; i < m; i += kRows) {
    const int64_t rows = std::min(kRows, m - i);
    for (int64_t r = 0; r < rows && add; ++r)
      for (int64_t j = 0; j < n; ++j) sums[r * n + j] = static_cast<float>(c[(i + r) * ldc + j]);
    Matrix<A> below = a;
    below.data = a.at(i, 0);
    own_gemm(rows, n, k, below, b, sums, n, add, GemmEpilogue::none());
    GemmEpilogue mine = epilogue;
    if (epilogue.pre_data) mine.pre_data = static_cast<bf16*>(epilogue.pre_data) + i * ldc;
    epilogue_pass(mine, rows, n, sums, n, c + i * ldc, ldc);
  }
}

// f64 is for checking gradients: the same blocks, and the formulas of GemmEpilogue as they stand.
void f64_gemm(int64_t m, int64_t n, int64_t k, Matrix<double> a, Matrix<double> b, double* c, int64_t ldc, bool add,
              const GemmEpilogue& e) {
  if (k > 0) packed_gemm(m, n, k, a, b, c, ldc, add, GemmEpilogue::none());
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double& out = c[i * ldc + j];
      if (k == 0 && !add) out = 0.0;
      if (e.bias_data) out += static_cast<const double*>(e.bias_data)[j];
      if (!e.pre_data) continue;
      double& pre = static_cast<double*>(e.pre_data)[i * ldc + j];
      if (e.kind == GemmEpilogue::Kind::bias_gelu) pre = out;
      const double cdf = 0.5 * (1.0 + std::erf(pre * M_SQRT1_2));
      const double density = std::exp(-0.5 * pre * pre) * M_2_SQRTPI * M_SQRT1_2 * 0.5;
      out = e.kind == GemmEpilogue::Kind::bias_gelu ? pre * cdf : out * (cdf + pre * density);
    }
  }
}

// ---- choice of types and libraries --------------------------------------------------------------------------------

bool is_f32_or_bf16(Dtype dtype) { return dtype == Dtype::f32 || dtype == Dtype::bf16; }

template <class F>
void visit_storage(Dtype dtype, F f) {
  if (dtype == Dtype::bf16) f.template operator()<bf16>();
  else f.template operator()<float>();
}

void check_dtypes(Dtype a, Dtype b, Dtype c) {
  const bool all_f64 = a == Dtype::f64 && b == Dtype::f64 && c == Dtype::f64;
  if (!all_f64 && !(is_f32_or_bf16(a) && is_f32_or_bf16(b) && is_f32_or_bf16(c)))
    fail("gemm: A, B and C must each be f32 or bf16, or all f64; got {}, {} and {}", name_of(a), name_of(b),
         name_of(c));
}

// `backend` is given because threads inside gemm_batched do not see the plan of the caller.
void gemm_with(GemmBackend backend, int64_t m, int64_t n, int64_t k, const GemmInput& a, const GemmInput& b,
               const GemmOutput& c, const GemmEpilogue& epilogue) {
  if (m == 0 || n == 0) return;
  const bool add = c.accumulate == Accumulate::yes;
  if (c.dtype == Dtype::f64) {
    f64_gemm(m, n, k, Matrix<double>(a), Matrix<double>(b), static_cast<double*>(c.data), c.ld, add, epilogue);
  } else if (backend != GemmBackend::own && k > 0 && a.dtype == Dtype::f32 && b.dtype == Dtype::f32 &&
             c.dtype == Dtype::f32) {
    float* out = static_cast<float*>(c.data);
    library_sgemm(backend, {m, n, k, a.transpose, b.transpose}, static_cast<const float*>(a.data), a.ld,
                  static_cast<const float*>(b.data), b.ld, add, out, c.ld);
    if (epilogue.kind != GemmEpilogue::Kind::none) epilogue_pass(epilogue, m, n, out, c.ld, out, c.ld);
  } else {
    visit_storage(a.dtype, [&]<class A>() {
      visit_storage(b.dtype, [&]<class B>() {
        visit_storage(c.dtype, [&]<class C>() {
          own_gemm(m, n, k, Matrix<A>(a), Matrix<B>(b), static_cast<C*>(c.data), c.ld, add, epilogue);
        });
      });
    });
  }
}

const void* advance(const void* data, Dtype dtype, int64_t elements) {
  return static_cast<const std::byte*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

}  // namespace

void gemm(int64_t m, int64_t n, int64_t k, const GemmInput& a, const GemmInput& b, const GemmOutput& c,
          const GemmEpilogue& epilogue) {
  check_dtypes(a.dtype, b.dtype, c.dtype);
  gemm_with(planned_backend({m, n, k, a.transpose, b.transpose}), m, n, k, a, b, c, epilogue);
}

void gemm_batched(int64_t count, int64_t m, int64_t n, int64_t k, const GemmInput& a, int64_t stride_a,
                  const GemmInput& b, int64_t stride_b, const GemmOutput& c, int64_t stride_c) {
  check_dtypes(a.dtype, b.dtype, c.dtype);
  const GemmBackend backend = planned_backend({m, n, k, a.transpose, b.transpose});
  const auto product = [&](int64_t i) {
    gemm_with(backend, m, n, k, {advance(a.data, a.dtype, i * stride_a), a.dtype, a.ld, a.transpose},
              {advance(b.data, b.dtype, i * stride_b), b.dtype, b.ld, b.transpose},
              {const_cast<void*>(advance(c.data, c.dtype, i * stride_c)), c.dtype, c.ld, c.accumulate}, {});
  };
  const int threads = threads_for(2.0 * static_cast<double>(count * m) * static_cast<double>(n * k));
  // Whole products a thread when the last round is nearly full, else all threads on each product.
  if (count >= 4 * threads || count % threads == 0) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < count; ++i) product(i);
  } else {
    for (int64_t i = 0; i < count; ++i) product(i);
  }
}

void column_sum(int64_t m, int64_t n, const GemmInput& x, const GemmOutput& out) {
  const bool f64 = x.dtype == Dtype::f64 && out.dtype == Dtype::f64;
  if (!f64 && !(is_f32_or_bf16(x.dtype) && out.dtype == Dtype::f32))
    fail("column_sum: must be f32 or bf16 into f32, or f64 into f64; got {} into {}", name_of(x.dtype),
         name_of(out.dtype));
  const bool add = out.accumulate == Accumulate::yes;
  const int threads = threads_for(static_cast<double>(m * n) * 4.0);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const Range columns = part_of(n, 64, thread_index(), team_size());
    const void* first = advance(x.data, x.dtype, columns.begin);
    if (f64) {
      VIGOR_PICK(column_sum)
      (m, columns.size(), static_cast<const double*>(first), x.ld, static_cast<double*>(out.data) + columns.begin, add);
    } else {
      visit_storage(x.dtype, [&]<class T>() {
        VIGOR_PICK(column_sum)
        (m, columns.size(), static_cast<const T*>(first), x.ld, static_cast<float*>(out.data) + columns.begin, add);
      });
    }
  }
}

}  // namespace vigor
