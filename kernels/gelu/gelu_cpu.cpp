#include <cmath>

#include "kernels/gelu/gelu_kernels.h"
#include "kernels/gelu/gelu_simd.h"
#include "kernels/parallel.h"

namespace vigor {
namespace {

// ---- the definition, in f64 ----

constexpr double kSqrtHalf = 0.70710678118654752;
constexpr double kSqrtTwoOverPi = 0.79788456080286536;
constexpr double kCubic = 0.044715;

double gelu_value(double x, GeluKind kind) {
  if (kind == GeluKind::erf) return 0.5 * x * (1 + std::erf(x * kSqrtHalf));
  return 0.5 * x * (1 + std::tanh(kSqrtTwoOverPi * (x + kCubic * x * x * x)));
}

double gelu_slope(double x, GeluKind kind) {
  if (kind == GeluKind::erf)
    return 0.5 * (1 + std::erf(x * kSqrtHalf)) + x * 0.5 * kSqrtTwoOverPi * std::exp(-0.5 * x * x);
  const double t = std::tanh(kSqrtTwoOverPi * (x + kCubic * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kSqrtTwoOverPi * (1 + 3 * kCubic * x * x);
}

void gelu_forward_naive(double* y, const double* x, int64_t n, GeluKind kind) {
  for (int64_t i = 0; i < n; ++i) y[i] = gelu_value(x[i], kind);
}

void gelu_backward_naive(double* dx, const double* dy, const double* x, int64_t n, GeluKind kind) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * gelu_slope(x[i], kind);
}

// ---- f32 and bf16: vectors ----

template <class T>
void gelu_forward_fast(T* y, const T* x, int64_t n, GeluKind kind) {
  if (kind == GeluKind::erf) VIGOR_PICK(gelu_erf_forward)(y, x, n);
  else VIGOR_PICK(gelu_tanh_forward)(y, x, n);
}

template <class T>
void gelu_backward_fast(T* dx, const T* dy, const T* x, int64_t n, GeluKind kind) {
  if (kind == GeluKind::erf) VIGOR_PICK(gelu_erf_backward)(dx, dy, x, n);
  else VIGOR_PICK(gelu_tanh_backward)(dx, dy, x, n);
}

}  // namespace

void gelu_forward_cpu(const TensorView& y, const TensorView& x, GeluKind kind) {
  visit_float(x.dtype, "gelu", [&]<class T>() {
    parallel_blocks(x.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
      T* out = y.as<T>() + begin;
      const T* in = x.as<T>() + begin;
      if constexpr (std::is_same_v<T, double>) gelu_forward_naive(out, in, end - begin, kind);
      else gelu_forward_fast(out, in, end - begin, kind);
    });
  });
}

void gelu_backward_cpu(const TensorView& dx, const TensorView& dy, const TensorView& x, GeluKind kind) {
  visit_float(x.dtype, "gelu", [&]<class T>() {
    parallel_blocks(x.numel(), kElementsPerBlock, [&](int64_t begin, int64_t end) {
      T* out = dx.as<T>() + begin;
      const T* up = dy.as<T>() + begin;
      const T* in = x.as<T>() + begin;
      if constexpr (std::is_same_v<T, double>) gelu_backward_naive(out, up, in, end - begin, kind);
      else gelu_backward_fast(out, up, in, end - begin, kind);
    });
  });
}

}  // namespace vigor
