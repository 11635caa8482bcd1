// One row at a time: it stays in the first-level cache for the two or three passes over it.
#include "kernels/layer_norm/layer_norm_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

template <class T>
float mean_of(const T* x, int64_t n) {
  vfloat total = zero();
  for_each_vector(n, [&](int64_t i, auto lanes) { total += load(x + i, lanes); });
  return horizontal_sum(total) / static_cast<float>(n);
}

template <class T>
float variance_of(const T* x, float mean, int64_t n) {
  vfloat total = zero();
  for_each_vector(n, [&](int64_t i, auto lanes) {
    const vfloat difference = keep(load(x + i, lanes) - mean, lanes, 0.0f);
    total = fma(difference, difference, total);
  });
  return horizontal_sum(total) / static_cast<float>(n);
}

template <class T, class W>
void forward(const LayerNormForward<T, W>& p) {
  for (int64_t row = 0; row < p.rows; ++row) {
    const T* x = p.x + row * p.columns;
    T* y = p.y + row * p.columns;
    const float mean = mean_of(x, p.columns);
    const float rstd = 1.0f / __builtin_sqrtf(variance_of(x, mean, p.columns) + p.eps);
    for_each_vector(p.columns, [&](int64_t i, auto lanes) {
      const vfloat xhat = (load(x + i, lanes) - mean) * rstd;
      store(y + i, fma(xhat, load(p.weight + i, lanes), load(p.bias + i, lanes)), lanes);
    });
    p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
}

template <class T, class W>
void backward(const LayerNormBackward<T, W>& p) {
  if (p.dweight != nullptr)
    for (int64_t i = 0; i < p.columns; ++i) p.dweight[i] = p.dbias[i] = 0.0f;
  for (int64_t row = 0; row < p.rows; ++row) {
    const T* x = p.x + row * p.columns;
    const T* dy = p.dy + row * p.columns;
    const float mean = p.mean[row], rstd = p.rstd[row];
    vfloat sum_g = zero(), sum_g_xhat = zero();
    for_each_vector(p.columns, [&](int64_t i, auto lanes) {
      const vfloat up = load(dy + i, lanes);
      const vfloat xhat = (load(x + i, lanes) - mean) * rstd;
      const vfloat g = up * load(p.weight + i, lanes);
      sum_g += g;
      sum_g_xhat = fma(g, xhat, sum_g_xhat);
      if (p.dweight != nullptr) {
        store(p.dweight + i, fma(up, xhat, load(p.dweight + i, lanes)), lanes);
        store(p.dbias + i, up + load(p.dbias + i, lanes), lanes);
      }
    });
    if (p.dx == nullptr) continue;
    T* dx = p.dx + row * p.columns;
    const float mean_g = horizontal_sum(sum_g) / static_cast<float>(p.columns);
    const float mean_g_xhat = horizontal_sum(sum_g_xhat) / static_cast<float>(p.columns);
    for_each_vector(p.columns, [&](int64_t i, auto lanes) {
      const vfloat xhat = (load(x + i, lanes) - mean) * rstd;
      const vfloat g = load(dy + i, lanes) * load(p.weight + i, lanes);
      store(dx + i, rstd * (g - mean_g - xhat * mean_g_xhat), lanes);
    });
  }
}

}  // namespace

void layer_norm_forward(const LayerNormForward<float, float>& p) { forward(p); }
void layer_norm_forward(const LayerNormForward<bf16, float>& p) { forward(p); }
void layer_norm_forward(const LayerNormForward<bf16, bf16>& p) { forward(p); }
void layer_norm_backward(const LayerNormBackward<float, float>& p) { backward(p); }
void layer_norm_backward(const LayerNormBackward<bf16, float>& p) { backward(p); }
void layer_norm_backward(const LayerNormBackward<bf16, bf16>& p) { backward(p); }

}  // namespace vigor::VIGOR_ISA
