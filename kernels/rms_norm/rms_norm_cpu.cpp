#include <cmath>

#include "kernels/block_sums.h"
#include "kernels/parallel.h"
#include "kernels/rms_norm/rms_norm_kernels.h"
#include "kernels/rms_norm/rms_norm_simd.h"

namespace vigor {
namespace {

constexpr int64_t kRowsPerBlock = 16;

// ---- the definition, in f64 ----

void rms_norm_forward_naive(double* y, double* rstd, const double* x, const double* weight, int64_t rows,
                            int64_t columns, double eps) {
  for (int64_t row = 0; row < rows; ++row, x += columns, y += columns) {
    double squares = 0;
    for (int64_t c = 0; c < columns; ++c) squares += x[c] * x[c];
    rstd[row] = 1 / std::sqrt(squares / static_cast<double>(columns) + eps);
    for (int64_t c = 0; c < columns; ++c) y[c] = x[c] * rstd[row] * weight[c];
  }
}

// partial [blocks,1,C] receives the sum of each block of rows for dweight.
void rms_norm_backward_naive(double* dx, double* partial, const double* dy, const double* x, const double* weight,
                             const double* rstd, int64_t rows, int64_t columns) {
  const int64_t per_block = rows_per_sum_block(rows);
  if (partial != nullptr) std::fill_n(partial, sum_blocks(rows) * columns, 0.0);
  for (int64_t row = 0; row < rows; ++row, x += columns, dy += columns) {
    double mean_g_xhat = 0;
    for (int64_t c = 0; c < columns; ++c) {
      const double xhat = x[c] * rstd[row];
      mean_g_xhat += dy[c] * weight[c] * xhat / static_cast<double>(columns);
      if (partial != nullptr) partial[row / per_block * columns + c] += dy[c] * xhat;
    }
    if (dx == nullptr) continue;
    for (int64_t c = 0; c < columns; ++c)
      dx[row * columns + c] = rstd[row] * (dy[c] * weight[c] - x[c] * rstd[row] * mean_g_xhat);
  }
}

// ---- f32 and bf16: vectors, rows shared out among the threads ----

template <class T, class W>
void rms_norm_forward_fast(const TensorView& y, const TensorView& rstd, const TensorView& x, const TensorView& weight,
                           double eps) {
  const int64_t columns = x.sizes.back();
  parallel_row_blocks(rstd.numel(), columns, kRowsPerBlock, [&](int64_t begin, int64_t end) {
    const RmsNormForward<T, W> rows{end - begin,
                                    columns,
                                    y.as<T>() + begin * columns,
                                    rstd.as<float>() + begin,
                                    x.as<T>() + begin * columns,
                                    weight.as<W>(),
                                    static_cast<float>(eps)};
    VIGOR_PICK(rms_norm_forward)(rows);
  });
}

template <class T, class W>
void rms_norm_backward_fast(const TensorView& dx, const TensorView& partial, const TensorView& dy, const TensorView& x,
                            const TensorView& weight, const TensorView& rstd) {
  const int64_t columns = x.sizes.back();
  const int64_t per_block = rows_per_sum_block(rstd.numel());
  parallel_row_blocks(rstd.numel(), columns, per_block, [&](int64_t begin, int64_t end) {
    const RmsNormBackward<T, W> rows{end - begin,
                                     columns,
                                     dx.defined() ? dx.as<T>() + begin * columns : nullptr,
                                     partial.defined() ? partial.as<float>() + begin / per_block * columns : nullptr,
                                     dy.as<T>() + begin * columns,
                                     x.as<T>() + begin * columns,
                                     weight.as<W>(),
                                     rstd.as<float>() + begin};
    VIGOR_PICK(rms_norm_backward)(rows);
  });
}

}  // namespace

void rms_norm_forward_cpu(const TensorView& y, const TensorView& rstd, const TensorView& x, const TensorView& weight,
                          double eps) {
  if (x.dtype == Dtype::f64)
    rms_norm_forward_naive(y.as<double>(), rstd.as<double>(), x.as<double>(), weight.as<double>(), rstd.numel(),
                           x.sizes.back(), eps);
  else if (x.dtype == Dtype::f32) rms_norm_forward_fast<float, float>(y, rstd, x, weight, eps);
  else if (weight.dtype == Dtype::f32) rms_norm_forward_fast<bf16, float>(y, rstd, x, weight, eps);
  else rms_norm_forward_fast<bf16, bf16>(y, rstd, x, weight, eps);
}

void rms_norm_backward_cpu(const TensorView& dx, const GradientView& dweight, const TensorView& partial,
                           const TensorView& dy, const TensorView& x, const TensorView& weight,
                           const TensorView& rstd) {
  if (x.dtype == Dtype::f64)
    rms_norm_backward_naive(dx.as<double>(), partial.as<double>(), dy.as<double>(), x.as<double>(), weight.as<double>(),
                            rstd.as<double>(), rstd.numel(), x.sizes.back());
  else if (x.dtype == Dtype::f32) rms_norm_backward_fast<float, float>(dx, partial, dy, x, weight, rstd);
  else if (weight.dtype == Dtype::f32) rms_norm_backward_fast<bf16, float>(dx, partial, dy, x, weight, rstd);
  else rms_norm_backward_fast<bf16, bf16>(dx, partial, dy, x, weight, rstd);
  add_blocks(dweight, partial, 0);
}

}  // namespace vigor
