#include <cmath>
#include <limits>

#include "kernels/parallel.h"
#include "kernels/softmax/softmax_kernels.h"
#include "kernels/softmax/softmax_simd.h"

namespace vigor {
namespace {

// A contiguous tensor around dimension `dim`: [outer, n, inner].
struct Lines {
  int64_t outer = 1, n = 1, inner = 1;

  Lines(const Shape& sizes, int dim) : n(sizes[dim]) {
    for (int d = 0; d < dim; ++d) outer *= sizes[d];
    for (int d = dim + 1; d < sizes.rank(); ++d) inner *= sizes[d];
  }
  int64_t count() const { return outer * inner; }
  int64_t start(int64_t line) const { return line / inner * n * inner + line % inner; }
  int64_t lines_per_block() const { return std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(n, 1)); }
};

// ---- the definition, for every dtype and dimension: one line, elements `step` apart ----

template <class T>
void softmax_forward_naive(T* y, const T* x, int64_t n, int64_t step) {
  using Acc = Accumulator<T>;
  Acc maximum = -std::numeric_limits<Acc>::infinity(), sum = 0;
  for (int64_t i = 0; i < n; ++i) maximum = std::max(maximum, static_cast<Acc>(x[i * step]));
  for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<Acc>(x[i * step]) - maximum);
  for (int64_t i = 0; i < n; ++i) y[i * step] = T(std::exp(static_cast<Acc>(x[i * step]) - maximum) / sum);
}

template <class T>
void softmax_backward_naive(T* dx, const T* dy, const T* y, int64_t n, int64_t step) {
  using Acc = Accumulator<T>;
  Acc dot = 0;
  for (int64_t i = 0; i < n; ++i) dot += static_cast<Acc>(dy[i * step]) * static_cast<Acc>(y[i * step]);
  for (int64_t i = 0; i < n; ++i)
    dx[i * step] = T(static_cast<Acc>(y[i * step]) * (static_cast<Acc>(dy[i * step]) - dot));
}

}  // namespace

void softmax_forward_cpu(const TensorView& y, const TensorView& x, int dim) {
  const Lines lines(x.sizes, dim);
  visit_float(x.dtype, "softmax", [&]<class T>() {
    parallel_blocks(lines.count(), lines.lines_per_block(), [&](int64_t begin, int64_t end) {
      if constexpr (!std::is_same_v<T, double>) {
        if (lines.inner == 1) {  // vectors
          const int64_t first = begin * lines.n;
          return VIGOR_PICK(softmax_forward)(y.as<T>() + first, x.as<const T>() + first, end - begin, lines.n);
        }
      }
      for (int64_t line = begin; line < end; ++line)
        softmax_forward_naive(y.as<T>() + lines.start(line), x.as<const T>() + lines.start(line), lines.n, lines.inner);
    });
  });
}

void softmax_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& y, int dim) {
  const Lines lines(y.sizes, dim);
  visit_float(y.dtype, "softmax_backward", [&]<class T>() {
    parallel_blocks(lines.count(), lines.lines_per_block(), [&](int64_t begin, int64_t end) {
      if constexpr (!std::is_same_v<T, double>) {
        if (lines.inner == 1) {
          const int64_t first = begin * lines.n;
          return VIGOR_PICK(softmax_backward)(dx.as<T>() + first, dy.as<const T>() + first, y.as<const T>() + first,
                                              end - begin, lines.n);
        }
      }
      for (int64_t line = begin; line < end; ++line) {
        const int64_t at = lines.start(line);
        softmax_backward_naive(dx.as<T>() + at, dy.as<const T>() + at, y.as<const T>() + at, lines.n, lines.inner);
      }
    });
  });
}

}  // namespace vigor
