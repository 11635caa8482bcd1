#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/cross_entropy/cross_entropy_kernels.h"
#include "kernels/gemm/gemm.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_kernels.h"
#include "kernels/linear_cross_entropy/linear_cross_entropy_simd.h"
#include "kernels/parallel.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

TensorView rows_of(const TensorView& x, int64_t start, int64_t end) {
  return sliced(x, 0, start, end, 1, "linear_cross_entropy");
}

// The definitions, in f64.
void column_extents(const double* x, int64_t rows, int64_t ld, int64_t n, double* largest, double* sums) {
  std::fill_n(largest, n, 0.0);
  std::fill_n(sums, n, 0.0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) {
      sums[i] += x[r * ld + i];
      if (const double value = std::abs(x[r * ld + i]); !(value <= largest[i] || std::isnan(largest[i])))
        largest[i] = value;
    }
}
void gather(const double* row, const int32_t* columns, int64_t n, double* to) {
  for (int64_t j = 0; j < n; ++j) to[j] = row[columns[j]];
}

void column_extents(const float* x, int64_t rows, int64_t ld, int64_t n, float* largest, float* sums) {
  VIGOR_PICK(column_extents)(x, rows, ld, n, largest, sums);
}
void gather(const float* row, const int32_t* columns, int64_t n, float* to) { VIGOR_PICK(gather)(row, columns, n, to); }

// The products of one chunk, whose first token is `start`, from dlogits [tokens,V].
void dense_products(const LinearCrossEntropyViews& v, const TensorView& dlogits, int64_t start) {
  const int64_t tokens = dlogits.sizes[0], V = dlogits.sizes[1], d = v.x.sizes[1];
  const Dtype dtype = dlogits.dtype;
  if (v.dx.defined())
    gemm(tokens, d, V, {dlogits.data, dtype, V}, {v.weight.data, v.weight.dtype, d},
         {rows_of(v.dx, start, start + tokens).data, dtype, d});
  if (v.dw.defined())
    gemm(V, d, tokens, {dlogits.data, dtype, V, Transpose::yes},
         {rows_of(v.x, start, start + tokens).data, v.x.dtype, d},
         {v.dw.data, dtype, d, start > 0 ? Accumulate::yes : Accumulate::no});
}

// The same for a block of at most kFilterTokens tokens, over the columns that the filter keeps.
template <class S>
class FilteredProducts {
 public:
  FilteredProducts(const LinearCrossEntropyViews& views, const FilterViews& filter) : v_(views), f_(filter) {
    if (v_.dw.defined())
      parallel_blocks(v_.dw.numel(), kElementsPerBlock,
                      [&](int64_t begin, int64_t end) { std::fill(dw() + begin, dw() + end, S(0)); });
  }

  void add(const TensorView& dlogits, int64_t start) const {
    const int64_t kept = keep_columns(dlogits, start), tokens = dlogits.sizes[0];
    std::fill_n(shares(start), tokens, S(0));
    if (f_.count != nullptr) {
      f_.count->kept += kept;
      f_.count->all += dlogits.sizes[1];
    }
    if (kept == 0 && v_.dx.defined()) std::fill_n(dx(start), tokens * width(), S(0));
    for (int64_t begin = 0; begin < kept; begin += kFilterColumns)
      add_columns(dlogits, start, begin, std::min(kFilterColumns, kept - begin));
    add_tail(start, tokens);
  }

  // Adds the outer products that stand for what was left out of all blocks.
  void finish() const {
    const int64_t blocks = f_.tail_columns.sizes[0], V = f_.tail_columns.sizes[1], d = width(), N = v_.x.sizes[0];
    const Dtype dtype = f_.tail_columns.dtype;
    if (v_.dw.defined())
      gemm(V, d, blocks, {f_.tail_columns.data, dtype, V, Transpose::yes}, {f_.tail_x.data, dtype, d},
           {dw(), d, Accumulate::yes});
    if (!v_.dx.defined()) return;
    gemm(blocks, d, V, {f_.tail_columns.data, dtype, V}, {v_.weight.data, v_.weight.dtype, d},
         {f_.tail_weight.as<S>(), d});
    constexpr int64_t kRows = 16;
    parallel_blocks(N, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const S* row = f_.tail_weight.as<S>() + i / kFilterTokens * d;
        for (int64_t j = 0; j < d; ++j) dx(i)[j] += *shares(i) * row[j];
      }
    });
  }

 private:
  int64_t width() const { return v_.x.sizes[1]; }
  S* dx(int64_t token) const { return v_.dx.as<S>() + token * width(); }
  S* dw() const { return v_.dw.as<S>(); }
  S* shares(int64_t token) const { return f_.tail_shares.as<S>() + token; }

  // Lists the columns with an element that is not below the threshold, or is NaN; returns their number. The others'
  // sums are those of the tail.
  int64_t keep_columns(const TensorView& dlogits, int64_t start) const {
    const int64_t tokens = dlogits.sizes[0], V = dlogits.sizes[1];
    S* largest = f_.largest.as<S>();
    S* sums = f_.tail_columns.as<S>() + start / kFilterTokens * V;
    constexpr int64_t kStrip = 2048;  // columns whose maxima stay in the L1 cache
    parallel_blocks(V, kStrip, [&](int64_t begin, int64_t end) {
      column_extents(dlogits.as<S>() + begin, tokens, V, end - begin, largest + begin, sums + begin);
    });
    const S least = static_cast<S>(f_.threshold * *v_.loss_weight.as<double>());
    int32_t* columns = f_.columns.as<int32_t>();
    int64_t kept = 0;
    for (int64_t i = 0; i < V; ++i) {
      if (largest[i] < least || largest[i] == 0) continue;
      columns[kept++] = static_cast<int32_t>(i);
      sums[i] = 0;
    }
    return kept;
  }

  // A row of dlogits adds up to 0, so what was left out of it is what was kept with the other sign.
  void add_tail(int64_t start, int64_t tokens) const {
    S total = 0;
    for (int64_t i = start; i < start + tokens; ++i) total += *shares(i) = std::max(S(0), -*shares(i));
    for (int64_t i = start; i < start + tokens && total > 0; ++i) *shares(i) /= total;
    gemm(1, width(), tokens, {shares(start), tokens}, {rows_of(v_.x, start, start + tokens).data, v_.x.dtype, width()},
         {f_.tail_x.as<S>() + start / kFilterTokens * width(), width()});
  }

  // Adds the products of n of the listed columns.
  void add_columns(const TensorView& dlogits, int64_t start, int64_t first, int64_t n) const {
    const int64_t tokens = dlogits.sizes[0], V = dlogits.sizes[1], d = width();
    const int32_t* columns = f_.columns.as<int32_t>() + first;
    const GemmInput kept(f_.dlogits.data, dlogits.dtype, kFilterColumns);  // [tokens,n]
    constexpr int64_t kRows = 8;
    parallel_blocks(tokens, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        S* row = f_.dlogits.as<S>() + i * kFilterColumns;
        gather(dlogits.as<S>() + i * V, columns, n, row);
        *shares(start + i) = std::accumulate(row, row + n, *shares(start + i));
      }
    });
    if (v_.dx.defined()) {
      const size_t nbytes = static_cast<size_t>(d) * size_of(v_.weight.dtype);
      const auto row = [&](const TensorView& matrix, int64_t i) {
        return static_cast<std::byte*>(matrix.data) + static_cast<size_t>(i) * nbytes;
      };
      parallel_blocks(n, kRows, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) std::memcpy(row(f_.weight, i), row(v_.weight, columns[i]), nbytes);
      });
      gemm(tokens, d, n, kept, {f_.weight.data, v_.weight.dtype, d},
           {dx(start), d, first > 0 ? Accumulate::yes : Accumulate::no});
    }
    if (v_.dw.defined()) {
      GemmInput transposed = kept;
      transposed.transpose = Transpose::yes;
      gemm(n, d, tokens, transposed, {rows_of(v_.x, start, start + tokens).data, v_.x.dtype, d}, {f_.dw.as<S>(), d});
      parallel_blocks(n, kRows, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const S* from = f_.dw.as<S>() + i * d;
          S* to = dw() + columns[i] * d;
          for (int64_t j = 0; j < d; ++j) to[j] += from[j];
        }
      });
    }
  }

  const LinearCrossEntropyViews& v_;
  const FilterViews& f_;
};

template <class Products>
void each_chunk(const LinearCrossEntropyViews& v, Products&& products) {
  const int64_t N = v.x.sizes[0], d = v.x.sizes[1], V = v.weight.sizes[0], chunk = v.logits.sizes[0];
  const Dtype dtype = v.logits.dtype;
  const bool gradients = v.dx.defined() || v.dw.defined() || v.dbias.defined();
  const GemmEpilogue epilogue = v.bias.defined() ? GemmEpilogue::bias(v.bias.data) : GemmEpilogue::none();
  for (int64_t start = 0; start < N; start += chunk) {
    const int64_t tokens = std::min(chunk, N - start);
    const TensorView x = rows_of(v.x, start, start + tokens);
    const TensorView logits = rows_of(v.logits, 0, tokens);  // [tokens,V]
    gemm(tokens, V, d, {x.data, x.dtype, d}, {v.weight.data, v.weight.dtype, d, Transpose::yes},
         {logits.data, dtype, V}, epilogue);
    cross_entropy_rows_cpu({logits, rows_of(v.targets, start, start + tokens), v.ignore_index, v.loss_weight,
                            rows_of(v.losses, start, start + tokens), gradients ? logits : TensorView()});
    const TensorView& dlogits = logits;
    products(dlogits, start);
    if (v.dbias.defined())
      column_sum(tokens, V, {dlogits.data, dtype, V},
                 {v.dbias.data, dtype, V, start > 0 ? Accumulate::yes : Accumulate::no});
  }
}

template <class S>
void filtered_chunks(const LinearCrossEntropyViews& views, const FilterViews& filter) {
  const FilteredProducts<S> products(views, filter);
  each_chunk(views, [&](const TensorView& dlogits, int64_t start) {
    for (int64_t first = 0; first < dlogits.sizes[0]; first += kFilterTokens) {
      const int64_t end = std::min(first + kFilterTokens, dlogits.sizes[0]);
      products.add(rows_of(dlogits, first, end), start + first);
    }
  });
  products.finish();
}

}  // namespace

void linear_cross_entropy_cpu(const LinearCrossEntropyViews& views, const FilterViews* filter) {
  if (filter == nullptr)
    each_chunk(views, [&](const TensorView& dlogits, int64_t start) { dense_products(views, dlogits, start); });
  else if (views.logits.dtype == Dtype::f64) filtered_chunks<double>(views, *filter);
  else filtered_chunks<float>(views, *filter);
}

}  // namespace vigor
