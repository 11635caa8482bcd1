// The driver: threads, blocks and packing around the micro-kernels, and the choice between the paths.
//
//   each thread, for its part of C
//     for each block of columns (block_n)
//       for each block of k (block_k)
//         for each block of rows (block_m): pack the block of A
//           for each panel of columns: pack the panel of B if this is the first block of rows; gemm_panel
//
// Threads share nothing and wait for each other only at the end: a panel that two of them need is packed twice, which
// costs each about 1 % and spares a barrier per block. Every element of C takes its sum over k in the same order
// whatever the number of threads.
#include "kernels/gemm/gemm.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <type_traits>

#include "kernels/gemm/gemm_backends.h"
#include "kernels/gemm/gemm_kernels.h"
#include "tensor/check.h"
#include "tensor/storage.h"
#include "tensor/threads.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace vigor {
namespace {

// ---- threads ------------------------------------------------------------------------------------------------------

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

// C cut into row_parts x column_parts: of the ways to use all threads, the one with the cheapest part.
struct Grid {
  int64_t row_parts = 1, column_parts = 1;

  Grid(int64_t m, int64_t n, const GemmTiling& tiling, int64_t threads) {
    int64_t least = -1;
    for (int64_t rows = threads; rows >= 1; --rows) {
      if (threads % rows != 0) continue;
      const int64_t columns = threads / rows;
      const int64_t panels = (n + tiling.panel_columns - 1) / tiling.panel_columns;
      const int64_t wide = (panels + columns - 1) / columns * tiling.panel_columns;
      // A tile lower than half the full height leaves the multipliers waiting.
      const int64_t tall = std::max((m + rows - 1) / rows, tiling.tile_rows / 2);
      // Packing one element costs about as much as 12 multiply-adds.
      const int64_t cost = tall * wide + 12 * (tall + wide);
      if (least >= 0 && cost >= least) continue;
      least = cost;
      row_parts = rows;
      column_parts = columns;
    }
  }
};

// ---- memory -------------------------------------------------------------------------------------------------------

// One growing buffer from the allocator: aligned to cache lines, on large pages, and counted.
class Scratch {
 public:
  template <class T>
  T* get(int64_t count) {
    const size_t nbytes = static_cast<size_t>(count) * sizeof(T);
    if (!storage_ || nbytes > storage_->nbytes()) {
      storage_.reset();
      storage_ = std::make_unique<Storage>(nbytes, kCpu);
    }
    return reinterpret_cast<T*>(storage_->data());
  }

 private:
  std::unique_ptr<Storage> storage_;
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

// All lines of op(X) from (i, j) on, `m` x `n`.
template <class S>
GemmPrefetch lines_of(const Matrix<S>& x, int64_t i, int64_t j, int64_t m, int64_t n) {
  const bool t = x.transpose == Transpose::yes;
  constexpr int64_t size = sizeof(S);
  const int64_t rows = t ? n : m, row_bytes = (t ? m : n) * size;
  return {x.at(i, j), row_bytes, x.ld * size, 0, rows * ((row_bytes + 63) / 64)};
}

// Part `index` of `parts` of the lines.
GemmPrefetch part_of(GemmPrefetch all, int64_t index, int64_t parts) {
  const int64_t count = all.end;
  all.begin = count * index / parts;
  all.end = count * (index + 1) / parts;
  return all;
}

constexpr int64_t kGroup = 4;  // panels of a B that is not transposed, packed together
// Packing pays when a packed element is used often. Below these sizes the micro-kernel reads the matrix as it is
// stored: A for few columns of C; B, unless it is transposed, for few rows.
constexpr int64_t kDirectColumns = 64, kDirectRows = 64;

// One thread's part of a product: rows x columns of C.
template <class T, class A, class B>
struct PackedPart {
  Range rows, columns;
  int64_t k;
  Matrix<A> a;
  Matrix<B> b;
  T* c;
  int64_t ldc;
  bool add;
  GemmEpilogue epilogue;
  GemmTiling tiling;  // with the blocks cut evenly
  T *packed_a, *packed_b;

  bool direct_a() const { return std::is_same_v<A, float> && columns.size() <= kDirectColumns; }
  // The first tile that reads a panel packs it for the others.
  bool packs_b_on_the_way() const {
    return std::is_same_v<B, float> && std::is_same_v<T, float> && b.transpose == Transpose::no && !direct_a();
  }
  bool direct_b() const {
    return std::is_same_v<B, float> && rows.size() <= kDirectRows && b.transpose == Transpose::no;
  }

  void run() const {
    int64_t packed_i = -1, packed_p = -1;  // the block in packed_a: the same for all j when A is a single block
    for (int64_t j = columns.begin; j < columns.end; j += tiling.block_n) {
      for (int64_t p = 0; p < k; p += tiling.block_k) {
        for (int64_t i = rows.begin; i < rows.end; i += tiling.block_m) {
          const int64_t height = std::min(tiling.block_m, rows.end - i), depth = std::min(tiling.block_k, k - p);
          if ((i != packed_i || p != packed_p) && !direct_a())
            VIGOR_PICK(gemm_pack_a)(a.at(i, p), a.ld, a.transpose == Transpose::no, height, depth, packed_a);
          packed_i = i;
          packed_p = p;
          block(i, j, p, height, std::min(tiling.block_n, columns.end - j), depth);
        }
      }
    }
  }

  // The block of A at (i, p) against the columns [j, j + width) of B, which are packed in groups of panels just before
  // their first use: a group of stored rows of B is read in runs, a group of its columns is one panel.
  void block(int64_t i, int64_t j, int64_t p, int64_t height, int64_t width, int64_t depth) const {
    const int64_t step = tiling.panel_columns, panels = (width + step - 1) / step;
    const bool first = i == rows.begin, only = rows.size() <= tiling.block_m;
    const int64_t group = b.transpose == Transpose::yes || packs_b_on_the_way() ? 1 : kGroup;
    const bool t = a.transpose == Transpose::yes;
    GemmPanel<T> panel{};
    panel.m = height;
    panel.k = depth;
    panel.a_is_packed = !direct_a();
    panel.a = panel.a_is_packed ? packed_a : reinterpret_cast<const T*>(a.at(i, p));
    panel.a_row = t ? 1 : a.ld;
    panel.a_step = t ? a.ld : 1;
    panel.ldc = ldc;
    panel.add = add || p > 0;
    const GemmPrefetch next_a = panel.a_is_packed ? next_block_of_a(i, p, height, depth) : GemmPrefetch{};
    GemmPrefetch next_group;
    for (int64_t q = 0; q < panels; ++q) {
      // With one block of rows no panel is used again, and all groups share one place, which stays in the cache.
      T* const packed = packed_b + (only ? q % group : q) * step * depth;
      const int64_t later = (q / group + 1) * group * step;
      panel.n = std::min(step, width - q * step);
      panel.b = packed;
      panel.b_step = step;
      panel.pack_b = nullptr;
      if (direct_b() && panel.n == step) {
        panel.b = reinterpret_cast<const T*>(b.at(p, j + q * step));
        panel.b_step = b.ld;
      } else if (first && packs_b_on_the_way() && panel.n == step) {
        panel.pack_b = packed;
        panel.b = reinterpret_cast<const T*>(b.at(p, j + q * step));
        panel.b_step = b.ld;
        next_group = later < width ? lines_of(b, p, j + later, depth, std::min(step, width - later)) : GemmPrefetch{};
      } else if (first && (q % group == 0 || direct_b())) {
        VIGOR_PICK(gemm_pack_b)
        (b.at(p, j + q * step), b.ld, b.transpose == Transpose::yes, depth, std::min(group * step, width - q * step),
         packed);
        next_group =
            later < width ? lines_of(b, p, j + later, depth, std::min(group * step, width - later)) : GemmPrefetch{};
      }
      panel.next_a = part_of(next_a, q, panels);
      panel.next_b = part_of(next_group, q % group, group);
      if (!first && q + 1 < panels) panel.next_b = packed_panel(packed + step * depth, step * depth);
      panel.c = c + i * ldc + j + q * step;
      panel.epilogue = p + depth == k ? epilogue_at(epilogue, i, j + q * step, ldc) : GemmEpilogue::none();
      VIGOR_PICK(gemm_panel)(panel);
    }
  }

  static GemmPrefetch packed_panel(const T* data, int64_t count) {
    const int64_t nbytes = count * static_cast<int64_t>(sizeof(T));
    return {data, nbytes, 0, 0, nbytes / 64};
  }

  GemmPrefetch next_block_of_a(int64_t i, int64_t p, int64_t height, int64_t depth) const {
    if (i + height < rows.end)
      return lines_of(a, i + height, p, std::min(tiling.block_m, rows.end - i - height), depth);
    if (p + depth < k)
      return lines_of(a, rows.begin, p + depth, std::min(tiling.block_m, rows.size()),
                      std::min(tiling.block_k, k - p - depth));
    return {};
  }
};

template <class T, class A, class B>
void packed_gemm(int64_t m, int64_t n, int64_t k, Matrix<A> a, Matrix<B> b, T* c, int64_t ldc, bool add,
                 const GemmEpilogue& epilogue) {
  GemmTiling tiling = VIGOR_PICK(gemm_tiling)(static_cast<const T*>(nullptr));
  const int threads = threads_for(2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
  tiling.block_k = even_block(k, tiling.block_k, 8);
  tiling.block_n = even_block(n, tiling.block_n, kGroup * tiling.panel_columns);
  const int64_t a_size = (tiling.block_m * tiling.block_k + kPackSlack + 15) / 16 * 16;
  const int64_t part_size = a_size + tiling.block_n * tiling.block_k;
  T* const memory = packed_panels.get<T>(threads * part_size);

  on_threads(threads, [&](int64_t me, int64_t team) {
    const Grid grid(m, n, tiling, team);
    const Range rows = part_of(m, 1, me / grid.column_parts, grid.row_parts);
    const Range columns = part_of(n, tiling.panel_columns, me % grid.column_parts, grid.column_parts);
    T* const packed_a = memory + me * part_size;
    PackedPart<T, A, B> part{rows, columns, k, a, b, c, ldc, add, epilogue, tiling, packed_a, packed_a + a_size};
    // What is not packed needs no blocks.
    part.tiling.block_m = part.direct_a() ? rows.size() : even_block(rows.size(), tiling.block_m, 1);
    if (rows.size() > 0) part.run();
  });
}

template <class A, class B>
void few_rows_gemm(int64_t m, int64_t n, int64_t k, Matrix<A> a, Matrix<B> b, float* c, int64_t ldc, bool add,
                   const GemmEpilogue& epilogue) {
  const int threads = threads_for(static_cast<double>(std::max<int64_t>(m, 4) * n * k));
  on_threads(threads, [&](int64_t me, int64_t team) {
    const Range columns = part_of(n, 16, me, team);
    VIGOR_PICK(gemm_few_rows)
    (GemmFewRows<A, B>{m, k, columns.begin, columns.end, a.data, a.ld, b.data, b.ld, c, ldc, add});
    VIGOR_PICK(gemm_epilogue)
    (epilogue_at(epilogue, 0, columns.begin, ldc), m, columns.size(), c + columns.begin, ldc, c + columns.begin, ldc);
  });
}

// The epilogue as a pass of its own, S to C, for products that other code has finished.
template <class T>
void epilogue_pass(const GemmEpilogue& e, int64_t m, int64_t n, const float* s, int64_t lds, T* c, int64_t ldc) {
  const int threads = threads_for(static_cast<double>(m * n) * 4.0);
  on_threads(threads, [&](int64_t me, int64_t team) {
    const Range rows = part_of(m, 1, me, team);
    GemmEpilogue mine = e;
    if (e.pre_data) mine.pre_data = static_cast<T*>(e.pre_data) + rows.begin * ldc;
    VIGOR_PICK(gemm_epilogue)
    (mine, rows.size(), n, s + rows.begin * lds, lds, c + rows.begin * ldc, ldc);
  });
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
  const GemmShape shape{m, n, k, a.transpose, b.transpose};
  if (a.dtype == Dtype::f32 && b.dtype == Dtype::f32 && c.dtype == Dtype::f32) count_product(shape);
  gemm_with(planned_backend(shape), m, n, k, a, b, c, epilogue);
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
  const bool whole = count >= 4 * threads || count % threads == 0;
  on_threads(whole ? threads : 1, [&](int64_t me, int64_t team) {
    const Range mine = part_of(count, 1, me, team);
    for (int64_t i = mine.begin; i < mine.end; ++i) product(i);
  });
}

void column_sum(int64_t m, int64_t n, const GemmInput& x, const GemmOutput& out) {
  const bool f64 = x.dtype == Dtype::f64 && out.dtype == Dtype::f64;
  if (!f64 && !(is_f32_or_bf16(x.dtype) && is_f32_or_bf16(out.dtype)))
    fail("column_sum: x and the sums must each be f32 or bf16, or both f64; got {} into {}", name_of(x.dtype),
         name_of(out.dtype));
  const bool round = out.dtype == Dtype::bf16;  // summed in f32 first
  float* const sums = round ? f32_rows.get<float>(n) : static_cast<float*>(out.data);
  const bool add = out.accumulate == Accumulate::yes;
  const int threads = threads_for(static_cast<double>(m * n) * 4.0);
  on_threads(threads, [&](int64_t me, int64_t team) {
    const Range columns = part_of(n, 64, me, team);
    const void* first = advance(x.data, x.dtype, columns.begin);
    if (f64) {
      VIGOR_PICK(column_sum)
      (m, columns.size(), static_cast<const double*>(first), x.ld, static_cast<double*>(out.data) + columns.begin, add);
    } else {
      visit_storage(x.dtype, [&]<class T>() {
        VIGOR_PICK(column_sum)
        (m, columns.size(), static_cast<const T*>(first), x.ld, sums + columns.begin, add && !round);
      });
    }
  });
  bf16* const rounded = static_cast<bf16*>(out.data);
  for (int64_t j = 0; j < n && round; ++j) rounded[j] = bf16(sums[j] + (add ? static_cast<float>(rounded[j]) : 0.0f));
}

}  // namespace vigor
