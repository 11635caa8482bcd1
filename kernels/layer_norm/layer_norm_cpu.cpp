#include <cmath>

#include "kernels/block_sums.h"
#include "kernels/layer_norm/layer_norm_kernels.h"
#include "kernels/layer_norm/layer_norm_simd.h"
#include "kernels/parallel.h"

namespace vigor {
namespace {

constexpr int64_t kRowsPerBlock = 16;

// ---- the definition, in f64 ----

void layer_norm_forward_naive(double* y, double* mean, double* rstd, const double* x, const double* weight,
                              const double* bias, int64_t rows, int64_t columns, double eps) {
  for (int64_t row = 0; row < rows; ++row, x += columns, y += columns) {
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < columns; ++c) sum += x[c];
    mean[row] = sum / static_cast<double>(columns);
    for (int64_t c = 0; c < columns; ++c) squares += (x[c] - mean[row]) * (x[c] - mean[row]);
    rstd[row] = 1 / std::sqrt(squares / static_cast<double>(columns) + eps);
    for (int64_t c = 0; c < columns; ++c) y[c] = (x[c] - mean[row]) * rstd[row] * weight[c] + bias[c];
  }
}

// partial [blocks,2,C] receives the sums of each block of rows: for dweight, then for dbias.
void layer_norm_backward_naive(double* dx, double* partial, const double* dy, const double* x, const double* weight,
                               const double* mean, const double* rstd, int64_t rows, int64_t columns) {
  const int64_t per_block = rows_per_sum_block(rows);
  if (partial != nullptr) std::fill_n(partial, sum_blocks(rows) * 2 * columns, 0.0);
  for (int64_t row = 0; row < rows; ++row, x += columns, dy += columns) {
    double mean_g = 0, mean_g_xhat = 0;
    for (int64_t c = 0; c < columns; ++c) {
      const double xhat = (x[c] - mean[row]) * rstd[row];
      mean_g += dy[c] * weight[c] / static_cast<double>(columns);
      mean_g_xhat += dy[c] * weight[c] * xhat / static_cast<double>(columns);
      if (partial == nullptr) continue;
      double* sums = partial + row / per_block * 2 * columns;
      sums[c] += dy[c] * xhat;     // dweight
      sums[columns + c] += dy[c];  // dbias
    }
    if (dx == nullptr) continue;
    for (int64_t c = 0; c < columns; ++c) {
      const double xhat = (x[c] - mean[row]) * rstd[row];
      dx[row * columns + c] = rstd[row] * (dy[c] * weight[c] - mean_g - xhat * mean_g_xhat);
    }
  }
}

// ---- f32 and bf16: vectors, rows shared out among the threads ----

template <class T, class W>
void layer_norm_forward_fast(const TensorView& y, const TensorView& mean, const TensorView& rstd, const TensorView& x,
                             const TensorView& weight, const TensorView& bias, double eps) {
  const int64_t columns = x.sizes.back();
  parallel_row_blocks(mean.numel(), columns, kRowsPerBlock, [&](int64_t begin, int64_t end) {
    const LayerNormForward<T, W> rows{end - begin,
                                      columns,
                                      y.as<T>() + begin * columns,
                                      mean.as<float>() + begin,
                                      rstd.as<float>() + begin,
                                      x.as<T>() + begin * columns,
                                      weight.as<W>(),
                                      bias.as<W>(),
                                      static_cast<float>(eps)};
    VIGOR_PICK(layer_norm_forward)(rows);
  });
}

template <class T, class W>
void layer_norm_backward_fast(const TensorView& dx, const TensorView& partial, const TensorView& dy,
                              const TensorView& x, const TensorView& weight, const TensorView& mean,
                              const TensorView& rstd) {
  const int64_t columns = x.sizes.back();
  const int64_t per_block = rows_per_sum_block(mean.numel());
  parallel_row_blocks(mean.numel(), columns, per_block, [&](int64_t begin, int64_t end) {
    float* sums = partial.defined() ? partial.as<float>() + begin / per_block * 2 * columns : nullptr;
    const LayerNormBackward<T, W> rows{end - begin,
                                       columns,
                                       dx.defined() ? dx.as<T>() + begin * columns : nullptr,
                                       sums,
                                       sums != nullptr ? sums + columns : nullptr,
                                       dy.as<T>() + begin * columns,
                                       x.as<T>() + begin * columns,
                                       weight.as<W>(),
                                       mean.as<float>() + begin,
                                       rstd.as<float>() + begin};
    VIGOR_PICK(layer_norm_backward)(rows);
  });
}

}  // namespace

void layer_norm_forward_cpu(const TensorView& y, const TensorView& mean, const TensorView& rstd, const TensorView& x,
                            const TensorView& weight, const TensorView& bias, double eps) {
  if (x.dtype == Dtype::f64)
    layer_norm_forward_naive(y.as<double>(), mean.as<double>(), rstd.as<double>(), x.as<double>(), weight.as<double>(),
                             bias.as<double>(), mean.numel(), x.sizes.back(), eps);
  else if (x.dtype == Dtype::f32) layer_norm_forward_fast<float, float>(y, mean, rstd, x, weight, bias, eps);
  else if (weight.dtype == Dtype::f32) layer_norm_forward_fast<bf16, float>(y, mean, rstd, x, weight, bias, eps);
  else layer_norm_forward_fast<bf16, bf16>(y, mean, rstd, x, weight, bias, eps);
}

void layer_norm_backward_cpu(const TensorView& dx, const GradientView& dweight, const GradientView& dbias,
                             const TensorView& partial, const TensorView& dy, const TensorView& x,
                             const TensorView& weight, const TensorView& mean, const TensorView& rstd) {
  if (x.dtype == Dtype::f64)
    layer_norm_backward_naive(dx.as<double>(), partial.as<double>(), dy.as<double>(), x.as<double>(),
                              weight.as<double>(), mean.as<double>(), rstd.as<double>(), mean.numel(), x.sizes.back());
  else if (x.dtype == Dtype::f32) layer_norm_backward_fast<float, float>(dx, partial, dy, x, weight, mean, rstd);
  else if (weight.dtype == Dtype::f32) layer_norm_backward_fast<bf16, float>(dx, partial, dy, x, weight, mean, rstd);
  else layer_norm_backward_fast<bf16, bf16>(dx, partial, dy, x, weight, mean, rstd);
  add_blocks(dweight, partial, 0);
  add_blocks(dbias, partial, 1);
}

}  // namespace vigor
