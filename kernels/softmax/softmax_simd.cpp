#include "kernels/softmax/softmax_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// The exponentials are computed twice, for the sum and for the result: keeping them in y would round them to bf16.
template <class T>
void forward(T* y, const T* x, int64_t rows, int64_t n) {
  for (int64_t row = 0; row < rows; ++row, x += n, y += n) {
    vfloat largest = broadcast(-__builtin_inff());
    for_each_vector(
        n, [&](int64_t i, auto lanes) { largest = max(largest, keep(load(x + i, lanes), lanes, -__builtin_inff())); });
    const float maximum = horizontal_max(largest);
    vfloat sum = zero();
    for_each_vector(n, [&](int64_t i, auto lanes) { sum += keep(exp(load(x + i, lanes) - maximum), lanes, 0.0f); });
    const float scale = 1.0f / horizontal_sum(sum);
    for_each_vector(n, [&](int64_t i, auto lanes) { store(y + i, exp(load(x + i, lanes) - maximum) * scale, lanes); });
  }
}

template <class T>
void backward(T* dx, const T* dy, const T* y, int64_t rows, int64_t n) {
  for (int64_t row = 0; row < rows; ++row, dx += n, dy += n, y += n) {
    vfloat sum = zero();
    for_each_vector(n, [&](int64_t i, auto lanes) { sum = fma(load(dy + i, lanes), load(y + i, lanes), sum); });
    const float dot = horizontal_sum(sum);
    for_each_vector(
        n, [&](int64_t i, auto lanes) { store(dx + i, load(y + i, lanes) * (load(dy + i, lanes) - dot), lanes); });
  }
}

}  // namespace

void softmax_forward(float* y, const float* x, int64_t rows, int64_t n) { forward(y, x, rows, n); }
void softmax_forward(bf16* y, const bf16* x, int64_t rows, int64_t n) { forward(y, x, rows, n); }
void softmax_backward(float* dx, const float* dy, const float* y, int64_t rows, int64_t n) {
  backward(dx, dy, y, rows, n);
}
void softmax_backward(bf16* dx, const bf16* dy, const bf16* y, int64_t rows, int64_t n) {
  backward(dx, dy, y, rows, n);
}

}  // namespace vigor::VIGOR_ISA
