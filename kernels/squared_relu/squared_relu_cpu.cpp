#include "kernels/parallel.h"
#include "kernels/squared_relu/squared_relu_kernels.h"
#include "kernels/squared_relu/squared_relu_simd.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

// The definition. It computes f64; f32 and bf16 go through the vector code of squared_relu_simd.cpp.
void forward_block(double* y, const double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double positive = x[i] < 0 ? 0 : x[i];  // lets a NaN through
    y[i] = positive * positive;
  }
}
void backward_block(double* dx, const double* dy, const double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double positive = x[i] < 0 ? 0 : x[i];
    dx[i] = 2 * positive * dy[i];
  }
}

template <class T>
void forward_block(T* y, const T* x, int64_t n) {
  VIGOR_PICK(squared_relu_forward)(y, x, n);
}
template <class T>
void backward_block(T* dx, const T* dy, const T* x, int64_t n) {
  VIGOR_PICK(squared_relu_backward)(dx, dy, x, n);
}

}  // namespace

void squared_relu_forward_cpu(const TensorView& y, const TensorView& x) {
  visit_float(x.dtype, "squared_relu", [&]<class T>() {
    parallel_blocks(x.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
      forward_block(y.as<T>() + begin, x.as<T>() + begin, end - begin);
    });
  });
}

void squared_relu_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& x) {
  visit_float(x.dtype, "squared_relu_backward", [&]<class T>() {
    parallel_blocks(x.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
      backward_block(dx.as<T>() + begin, dy.as<T>() + begin, x.as<T>() + begin, end - begin);
    });
  });
}

}  // namespace vigor
