#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/parallel.h"
#include "kernels/reduce/reduce_kernels.h"
#include "tensor/dtype.h"
#include "tensor/strided_loop.h"

namespace vigor {
namespace {

// ---- the definition, for f64 and for elements with gaps ----

double identity(Reduction r) { return r == Reduction::sum ? 0 : -std::numeric_limits<double>::infinity(); }

double combine(Reduction r, double total, double x) {
  if (r == Reduction::sum) return total + x;
  return x > total || std::isnan(x) ? x : total;
}

template <class T>
double reduce_row_naive(Reduction r, const T* x, int64_t n, int64_t stride) {
  double total = identity(r);
  for (int64_t i = 0; i < n; ++i)
    total = combine(r, total, static_cast<double>(static_cast<Accumulator<T>>(x[i * stride])));
  return total;
}

// ---- fast where elements are neighbours ----

template <class T>
double row_total(Reduction r, const T* x, int64_t n, int64_t stride) {
  if constexpr (!std::is_same_v<T, double>)
    if (stride == 1) return VIGOR_PICK(reduce_row)(r, x, n);
  return reduce_row_naive(r, x, n, stride);
}

template <class T>
void add_columns(Reduction r, double* total, const T* x, int64_t rows, int64_t row_stride, int64_t columns) {
  if constexpr (std::is_same_v<T, double>) {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < columns; ++c) total[c] = combine(r, total[c], x[row * row_stride + c]);
  } else {
    VIGOR_PICK(reduce_columns)(r, total, x, rows, row_stride, columns);
  }
}

// The dimensions of the result and the reduced ones, each as a loop of its own.
struct Loops {
  StridedLoop<2> kept;     // y, x
  StridedLoop<1> reduced;  // x
  int64_t elements;        // in one result

  static Loops of(const TensorView& y, const TensorView& x) {
    Shape kept, reduced;
    Strides y_strides, x_kept, x_reduced;
    for (int dim = 0; dim < x.rank(); ++dim) {
      if (y.sizes[dim] == x.sizes[dim]) {
        kept.push_back(x.sizes[dim]);
        y_strides.push_back(y.strides[dim]);
        x_kept.push_back(x.strides[dim]);
      } else {
        reduced.push_back(x.sizes[dim]);
        x_reduced.push_back(x.strides[dim]);
      }
    }
    return {StridedLoop<2>(kept, {y_strides, x_kept}), StridedLoop<1>(reduced, {x_reduced}), reduced.numel()};
  }
};

// One result from elements [begin, end) of the reduced loop's rows, or of its only row.
template <class T>
double partial_total(Reduction r, const T* x, const StridedLoop<1>& reduced, int64_t begin, int64_t end) {
  const int64_t stride = reduced.inner_stride(0);
  if (reduced.rows() == 1) return row_total(r, x + begin * stride, end - begin, stride);
  double total = identity(r);
  for (int64_t row = begin; row < end; ++row)
    total = combine(r, total, row_total(r, x + reduced.row_offsets(row)[0], reduced.row_length(), stride));
  return total;
}

// A single result: parts whose number depends on the size alone, so that it is the same for every number of threads.
template <class T>
void reduce_all(Reduction r, T* y, const T* x, const StridedLoop<1>& reduced, int64_t elements, double scale) {
  constexpr int64_t kMaxParts = 64;
  double partial[kMaxParts];
  const int64_t n = reduced.rows() == 1 ? reduced.row_length() : reduced.rows();
  const int64_t parts = std::clamp<int64_t>(std::min(elements / kElementsPerBlock, n), 1, kMaxParts);
  parallel_blocks(parts, 1, [&](int64_t part, int64_t) {
    partial[part] = partial_total(r, x, reduced, part * n / parts, (part + 1) * n / parts);
  });
  double total = partial[0];
  for (int64_t part = 1; part < parts; ++part) total = combine(r, total, partial[part]);
  *y = T(total * scale);
}

// Results whose elements lie side by side in x: neighbouring results are computed together.
template <class T>
void reduce_by_columns(Reduction r, T* y, const T* x, const Loops& loops, double scale) {
  const int64_t columns = loops.kept.row_length();
  const int64_t blocks = (columns + kReduceColumns - 1) / kReduceColumns;
  const int64_t tasks = loops.kept.rows() * blocks;
  const int64_t task_elements = loops.elements * std::min(columns, kReduceColumns);
  parallel_blocks(tasks, std::max<int64_t>(1, kElementsPerBlock / task_elements), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const auto [to, from] = loops.kept.row_offsets(task / blocks);
      const int64_t first = task % blocks * kReduceColumns;
      const int64_t n = std::min(kReduceColumns, columns - first);
      double total[kReduceColumns];
      std::fill_n(total, n, identity(r));
      for (int64_t row = 0; row < loops.reduced.rows(); ++row)
        add_columns(r, total, x + from + first + loops.reduced.row_offsets(row)[0], loops.reduced.row_length(),
                    loops.reduced.inner_stride(0), n);
      for (int64_t c = 0; c < n; ++c) y[to + first + c] = T(total[c] * scale);
    }
  });
}

template <class T>
void reduce_one_by_one(Reduction r, T* y, const T* x, const Loops& loops, double scale) {
  const int64_t columns = loops.kept.row_length();
  const int64_t results = loops.kept.rows() * columns;
  const int64_t n = loops.reduced.rows() == 1 ? loops.reduced.row_length() : loops.reduced.rows();
  parallel_blocks(results, std::max<int64_t>(1, kElementsPerBlock / loops.elements), [&](int64_t begin, int64_t end) {
    for (int64_t result = begin; result < end; ++result) {
      const auto [to, from] = loops.kept.row_offsets(result / columns);
      const int64_t c = result % columns;
      y[to + c * loops.kept.inner_stride(0)] =
          T(scale * partial_total(r, x + from + c * loops.kept.inner_stride(1), loops.reduced, 0, n));
    }
  });
}

template <class T>
void max_backward_values(const TensorView& dx, const TensorView& dy, const TensorView& x, const TensorView& y) {
  Shape kept, reduced;
  std::array<Strides, 4> kept_strides;
  std::array<Strides, 2> reduced_strides;
  for (int dim = 0; dim < x.rank(); ++dim) {
    const bool is_kept = y.sizes[dim] == x.sizes[dim];
    (is_kept ? kept : reduced).push_back(x.sizes[dim]);
    if (is_kept) {
      const TensorView* views[] = {&dx, &x, &dy, &y};
      for (size_t k = 0; k < 4; ++k) kept_strides[k].push_back(views[k]->strides[dim]);
    } else {
      reduced_strides[0].push_back(dx.strides[dim]);
      reduced_strides[1].push_back(x.strides[dim]);
    }
  }
  const StridedLoop<4> outer(kept, kept_strides);
  const StridedLoop<2> inner(reduced, reduced_strides);
  const int64_t columns = outer.row_length();
  const int64_t grain = std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(reduced.numel(), 1));
  parallel_blocks(outer.rows() * columns, grain, [&](int64_t begin, int64_t end) {
    for (int64_t result = begin; result < end; ++result) {
      std::array<int64_t, 4> at = outer.row_offsets(result / columns);
      for (int k = 0; k < 4; ++k) at[static_cast<size_t>(k)] += result % columns * outer.inner_stride(k);
      const auto largest = static_cast<Accumulator<T>>(y.as<T>()[at[3]]);
      bool found = false;
      for (int64_t row = 0; row < inner.rows(); ++row) {
        const auto offsets = inner.row_offsets(row);
        T* out = dx.as<T>() + at[0] + offsets[0];
        const T* in = x.as<T>() + at[1] + offsets[1];
        for (int64_t i = 0; i < inner.row_length(); ++i) {
          const auto value = static_cast<Accumulator<T>>(in[i * inner.inner_stride(1)]);
          const bool first = !found && (value == largest || value != value);
          out[i * inner.inner_stride(0)] = first ? dy.as<T>()[at[2]] : T(0);
          found = found || first;
        }
      }
    }
  });
}

}  // namespace

void reduce_cpu(Reduction r, const TensorView& y, const TensorView& x, double scale) {
  if (y.numel() == 0) return;
  const Loops loops = Loops::of(y, x);
  visit_float(x.dtype, "reduce", [&]<class T>() {
    T* out = y.as<T>();
    const T* in = x.as<T>();
    if (loops.elements == 0) {
      std::fill_n(out, y.numel(), T(identity(r) * scale));
    } else if (y.numel() == 1) {
      reduce_all(r, out, in, loops.reduced, loops.elements, scale);
    } else if (loops.kept.inner_stride(1) == 1 && loops.reduced.inner_stride(0) != 1) {
      reduce_by_columns(r, out, in, loops, scale);
    } else {
      reduce_one_by_one(r, out, in, loops, scale);
    }
  });
}

void max_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& x, const TensorView& y) {
  visit_float(x.dtype, "max_backward", [&]<class T>() { max_backward_values<T>(dx, dy, x, y); });
}

}  // namespace vigor
