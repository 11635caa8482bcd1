#include <algorithm>

#include "kernels/cumsum/cumsum_kernels.h"
#include "kernels/parallel.h"
#include "tensor/dtype.h"
#include "tensor/strided_loop.h"

namespace vigor {
namespace {

constexpr int64_t kLines = 32;  // neighbouring lines that are summed together: their carries stay in the cache

// `lines` sums of `length` elements each. A step is from one element of a line to the next; lines are neighbours in y.
template <class T>
void cumsum_lines(T* y, int64_t y_step, const T* x, int64_t x_step, int64_t x_line, int64_t length, int64_t lines) {
  double carry[kLines] = {};
  for (int64_t t = 0; t < length; ++t) {
    T* out = y + t * y_step;
    const T* in = x + t * x_step;
    for (int64_t line = 0; line < lines; ++line) {
      carry[line] += static_cast<double>(static_cast<Accumulator<T>>(in[line * x_line]));
      out[line] = T(static_cast<Accumulator<T>>(carry[line]));
    }
  }
}

}  // namespace

void cumsum_cpu(const TensorView& y, const TensorView& x, int dim, bool reverse) {
  const int64_t length = y.sizes[dim];
  if (y.numel() == 0) return;
  // All dimensions but `dim` as a loop over lines; reversed sums start at the end and step backwards.
  Shape others = y.sizes;
  Strides y_strides = y.strides, x_strides = x.strides;
  for (Shape* s : {&others, &y_strides, &x_strides}) s->erase(dim);
  const StridedLoop<2> loop(others, {y_strides, x_strides});
  const int64_t sign = reverse ? -1 : 1;
  const int64_t first = reverse ? length - 1 : 0;
  const int64_t n = loop.row_length();
  // Lines that are neighbours in y: only when dim is not the last.
  const int64_t width = loop.inner_stride(0) == 1 ? kLines : 1;
  const int64_t groups = (n + width - 1) / width;
  visit_float(y.dtype, "cumsum", [&]<class T>() {
    const int64_t grain = std::max<int64_t>(1, kElementsPerBlock / (length * std::min(width, n)));
    parallel_blocks(loop.rows() * groups, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto offsets = loop.row_offsets(i / groups);
        const int64_t line = i % groups * width;
        cumsum_lines(y.as<T>() + offsets[0] + line * loop.inner_stride(0) + first * y.strides[dim],
                     sign * y.strides[dim],
                     x.as<T>() + offsets[1] + line * loop.inner_stride(1) + first * x.strides[dim],
                     sign * x.strides[dim], loop.inner_stride(1), length, std::min(width, n - line));
      }
    });
  });
}

}  // namespace vigor
