#include "kernels/gelu/gelu_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

template <class T, class F>
void map(T* y, const T* x, int64_t n, F value) {
  for_each_vector(n, [=](int64_t i, auto lanes) { store(y + i, value(load(x + i, lanes)), lanes); });
}

template <class T, class F>
void map_gradient(T* dx, const T* dy, const T* x, int64_t n, F slope) {
  for_each_vector(
      n, [=](int64_t i, auto lanes) { store(dx + i, load(dy + i, lanes) * slope(load(x + i, lanes)), lanes); });
}

constexpr auto erf_value = [](vfloat x) { return gelu_erf(x); };
constexpr auto erf_slope = [](vfloat x) { return gelu_erf_gradient(x); };
constexpr auto tanh_value = [](vfloat x) { return gelu_tanh(x); };
constexpr auto tanh_slope = [](vfloat x) { return gelu_tanh_gradient(x); };

}  // namespace

void gelu_erf_forward(float* y, const float* x, int64_t n) { map(y, x, n, erf_value); }
void gelu_erf_forward(bf16* y, const bf16* x, int64_t n) { map(y, x, n, erf_value); }
void gelu_tanh_forward(float* y, const float* x, int64_t n) { map(y, x, n, tanh_value); }
void gelu_tanh_forward(bf16* y, const bf16* x, int64_t n) { map(y, x, n, tanh_value); }

void gelu_erf_backward(float* dx, const float* dy, const float* x, int64_t n) { map_gradient(dx, dy, x, n, erf_slope); }
void gelu_erf_backward(bf16* dx, const bf16* dy, const bf16* x, int64_t n) { map_gradient(dx, dy, x, n, erf_slope); }
void gelu_tanh_backward(float* dx, const float* dy, const float* x, int64_t n) {
  map_gradient(dx, dy, x, n, tanh_slope);
}
void gelu_tanh_backward(bf16* dx, const bf16* dy, const bf16* x, int64_t n) { map_gradient(dx, dy, x, n, tanh_slope); }

}  // namespace vigor::VIGOR_ISA
