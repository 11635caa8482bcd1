#include "kernels/swiglu/swiglu_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

template <class T>
void forward(T* y, const T* gate, const T* up, int64_t n, float multiplier) {
  for_each_vector(n, [=](int64_t i, auto lanes) {
    const vfloat a = load(gate + i, lanes) * multiplier;
    store(y + i, a * sigmoid(a) * load(up + i, lanes), lanes);
  });
}

template <class T>
void backward(T* dgate, T* dup, const T* dy, const T* gate, const T* up, int64_t n, float multiplier) {
  for_each_vector(n, [=](int64_t i, auto lanes) {
    const vfloat a = load(gate + i, lanes) * multiplier, s = sigmoid(a);
    const vfloat g = load(dy + i, lanes);
    if (dup != nullptr) store(dup + i, a * s * g, lanes);
    if (dgate != nullptr) store(dgate + i, multiplier * s * fma(a, 1.0f - s, 1.0f) * load(up + i, lanes) * g, lanes);
  });
}

}  // namespace

void swiglu_forward(float* y, const float* gate, const float* up, int64_t n, float multiplier) {
  forward(y, gate, up, n, multiplier);
}
void swiglu_forward(bf16* y, const bf16* gate, const bf16* up, int64_t n, float multiplier) {
  forward(y, gate, up, n, multiplier);
}
void swiglu_backward(float* dgate, float* dup, const float* dy, const float* gate, const float* up, int64_t n,
                     float multiplier) {
  backward(dgate, dup, dy, gate, up, n, multiplier);
}
void swiglu_backward(bf16* dgate, bf16* dup, const bf16* dy, const bf16* gate, const bf16* up, int64_t n,
                     float multiplier) {
  backward(dgate, dup, dy, gate, up, n, multiplier);
}

}  // namespace vigor::VIGOR_ISA
