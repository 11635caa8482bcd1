#include <algorithm>
#include <cmath>

#include "kernels/parallel.h"
#include "kernels/swiglu/swiglu_kernels.h"
#include "kernels/swiglu/swiglu_simd.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

// ---- the definition, in f64 ----

void forward_row(double* y, const double* gate, const double* up, int64_t n, double multiplier) {
  for (int64_t i = 0; i < n; ++i) {
    const double a = multiplier * gate[i];
    y[i] = a / (1 + std::exp(-a)) * up[i];
  }
}

void backward_row(double* dgate, double* dup, const double* dy, const double* gate, const double* up, int64_t n,
                  double multiplier) {
  for (int64_t i = 0; i < n; ++i) {
    const double a = multiplier * gate[i], s = 1 / (1 + std::exp(-a));
    if (dup != nullptr) dup[i] = a * s * dy[i];
    if (dgate != nullptr) dgate[i] = multiplier * s * (1 + a * (1 - s)) * up[i] * dy[i];
  }
}

// ---- f32 and bf16: vectors ----

template <class T>
void forward_row(T* y, const T* gate, const T* up, int64_t n, double multiplier) {
  VIGOR_PICK(swiglu_forward)(y, gate, up, n, static_cast<float>(multiplier));
}
template <class T>
void backward_row(T* dgate, T* dup, const T* dy, const T* gate, const T* up, int64_t n, double multiplier) {
  VIGOR_PICK(swiglu_backward)(dgate, dup, dy, gate, up, n, static_cast<float>(multiplier));
}

// Row r of a view; null stays null.
template <class T>
T* row(const TensorView& x, int64_t r) {
  return x.defined() ? x.as<T>() + r * x.strides[0] : nullptr;
}

template <class F>
void for_each_row(const TensorView& x, F&& f) {
  const int64_t rows_per_block = std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(1, x.sizes[1]));
  parallel_blocks(x.sizes[0], rows_per_block, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

}  // namespace

void swiglu_forward_cpu(const TensorView& y, const TensorView& gate, const TensorView& up, double gate_multiplier) {
  visit_float(y.dtype, "swiglu", [&]<class T>() {
    for_each_row(y, [&](int64_t r) {
      forward_row(row<T>(y, r), row<const T>(gate, r), row<const T>(up, r), y.sizes[1], gate_multiplier);
    });
  });
}

void swiglu_backward_cpu(const TensorView& dgate, const TensorView& dup, const TensorView& dy, const TensorView& gate,
                         const TensorView& up, double gate_multiplier) {
  visit_float(dy.dtype, "swiglu_backward", [&]<class T>() {
    for_each_row(dy, [&](int64_t r) {
      backward_row(row<T>(dgate, r), row<T>(dup, r), row<const T>(dy, r), row<const T>(gate, r), row<const T>(up, r),
                   dy.sizes[1], gate_multiplier);
    });
  });
}

}  // namespace vigor
