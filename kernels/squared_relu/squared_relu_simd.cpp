#include "kernels/squared_relu/squared_relu_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

template <class T>
void forward_loop(T* y, const T* x, int64_t n) {
  for_each_vector(n, [=](int64_t i, auto lanes) {
    const vfloat positive = max(zero(), load(x + i, lanes));
    store(y + i, positive * positive, lanes);
  });
}

template <class T>
void backward_loop(T* dx, const T* dy, const T* x, int64_t n) {
  for_each_vector(n, [=](int64_t i, auto lanes) {
    const vfloat positive = max(zero(), load(x + i, lanes));
    store(dx + i, 2.0f * positive * load(dy + i, lanes), lanes);
  });
}

}  // namespace

void squared_relu_forward(float* y, const float* x, int64_t n) { forward_loop(y, x, n); }
void squared_relu_forward(bf16* y, const bf16* x, int64_t n) { forward_loop(y, x, n); }
void squared_relu_backward(float* dx, const float* dy, const float* x, int64_t n) { backward_loop(dx, dy, x, n); }
void squared_relu_backward(bf16* dx, const bf16* dy, const bf16* x, int64_t n) { backward_loop(dx, dy, x, n); }

}  // namespace vigor::VIGOR_ISA
