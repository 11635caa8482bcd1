// One row at a time: it stays in the first-level cache for both passes over it.
#include "kernels/rms_norm/rms_norm_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

template <class T, class W>
void forward(const RmsNormForward<T, W>& p) {
  for (int64_t row = 0; row < p.rows; ++row) {
    const T* x = p.x + row * p.columns;
    T* y = p.y + row * p.columns;
    vfloat squares = zero();
    for_each_vector(p.columns, [&](int64_t i, auto lanes) {
      const vfloat v = load(x + i, lanes);
      squares = fma(v, v, squares);
    });
    const float rstd = 1.0f / __builtin_sqrtf(horizontal_sum(squares) / static_cast<float>(p.columns) + p.eps);
    for_each_vector(p.columns, [&](int64_t i, auto lanes) {
      store(y + i, load(x + i, lanes) * rstd * load(p.weight + i, lanes), lanes);
    });
    p.rstd[row] = rstd;
  }
}

template <class T, class W>
void backward(const RmsNormBackward<T, W>& p) {
  if (p.dweight != nullptr)
    for (int64_t i = 0; i < p.columns; ++i) p.dweight[i] = 0.0f;
  for (int64_t row = 0; row < p.rows; ++row) {
    const T* x = p.x + row * p.columns;
    const T* dy = p.dy + row * p.columns;
    const float rstd = p.rstd[row];
    vfloat sum_g_xhat = zero();
    for_each_vector(p.columns, [&](int64_t i, auto lanes) {
      const vfloat up_xhat = load(dy + i, lanes) * (load(x + i, lanes) * rstd);
      sum_g_xhat = fma(up_xhat, load(p.weight + i, lanes), sum_g_xhat);
      if (p.dweight != nullptr) store(p.dweight + i, up_xhat + load(p.dweight + i, lanes), lanes);
    });
    if (p.dx == nullptr) continue;
    T* dx = p.dx + row * p.columns;
    const float mean_g_xhat = horizontal_sum(sum_g_xhat) / static_cast<float>(p.columns);
    for_each_vector(p.columns, [&](int64_t i, auto lanes) {
      const vfloat g = load(dy + i, lanes) * load(p.weight + i, lanes);
      const vfloat xhat = load(x + i, lanes) * rstd;
      store(dx + i, rstd * (g - xhat * mean_g_xhat), lanes);
    });
  }
}

}  // namespace

void rms_norm_forward(const RmsNormForward<float, float>& p) { forward(p); }
void rms_norm_forward(const RmsNormForward<bf16, float>& p) { forward(p); }
void rms_norm_forward(const RmsNormForward<bf16, bf16>& p) { forward(p); }
void rms_norm_backward(const RmsNormBackward<float, float>& p) { backward(p); }
void rms_norm_backward(const RmsNormBackward<bf16, float>& p) { backward(p); }
void rms_norm_backward(const RmsNormBackward<bf16, bf16>& p) { backward(p); }

}  // namespace vigor::VIGOR_ISA
