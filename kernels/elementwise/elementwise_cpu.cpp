#include <cmath>

#include "kernels/elementwise/elementwise_kernels.h"
#include "kernels/elementwise/elementwise_simd.h"
#include "kernels/strided_rows.h"
#include "tensor/dtype.h"

namespace vigor {

// ---- the definition: one element at a time, in f64 ----
namespace naive {

using std::exp;
using std::log;
using std::sqrt;
using std::tanh;

template <class T>
T sigmoid(T x) {
  const T e = exp(-std::fabs(x));  // of the negative magnitude: never overflows
  return (x < 0 ? e : T(1)) / (1 + e);
}
template <class T>
T softplus(T x) {
  return std::fmax(x, T(0)) + std::log1p(exp(-std::fabs(x)));
}
// A NaN in the second argument gets through, as in tensor/simd.h.
template <class T>
T min(T limit, T x) {
  return limit < x ? limit : x;
}
template <class T>
T max(T limit, T x) {
  return limit > x ? limit : x;
}
template <class T>
T within(T x, T s, T t) {
  return x >= s && x <= t ? T(1) : T(0);
}

template <class T>
T unary_value(Unary op, T x, T s, T t) {
#define VIGOR_CASE(name, value, slope, keeps) \
  case Unary::name:                           \
    return value;
  switch (op) { VIGOR_UNARY_ROWS(VIGOR_CASE) }
#undef VIGOR_CASE
  return x;
}

template <class T>
T unary_slope(Unary op, T x, T s, T t) {
  const T y = x;  // the row keeps one of them
#define VIGOR_CASE(name, value, slope, keeps) \
  case Unary::name:                           \
    return slope;
  switch (op) { VIGOR_UNARY_ROWS(VIGOR_CASE) }
#undef VIGOR_CASE
  return y;
}

template <class T>
T binary_value(Binary op, T a, T b) {
#define VIGOR_CASE(name, value, slope_a, slope_b, keeps) \
  case Binary::name:                                     \
    return value;
  switch (op) { VIGOR_BINARY_ROWS(VIGOR_CASE) }
#undef VIGOR_CASE
  return a;
}

template <class T>
T binary_slope(Binary op, int input, T a, T b) {
#define VIGOR_CASE(name, value, slope_a, slope_b, keeps) \
  case Binary::name:                                     \
    return input == 0 ? T(slope_a) : T(slope_b);
  switch (op) { VIGOR_BINARY_ROWS(VIGOR_CASE) }
#undef VIGOR_CASE
  return a;
}

}  // namespace naive

namespace {

// Stretches of f64 go through the definition, f32 and bf16 through the vector code.
void unary_forward_row(Unary op, double* y, Elements<double> x, int64_t n, double s, double t) {
  for (int64_t i = 0; i < n; ++i) y[i] = naive::unary_value(op, x.data[i * x.stride], s, t);
}
template <class T>
void unary_forward_row(Unary op, T* y, Elements<T> x, int64_t n, double s, double t) {
  VIGOR_PICK(unary_forward)(op, y, x, n, static_cast<float>(s), static_cast<float>(t));
}

void unary_backward_row(Unary op, double* dx, Elements<double> dy, Elements<double> kept, int64_t n, double s,
                        double t) {
  for (int64_t i = 0; i < n; ++i)
    dx[i] = dy.data[i * dy.stride] * naive::unary_slope(op, kept.data[i * kept.stride], s, t);
}
template <class T>
void unary_backward_row(Unary op, T* dx, Elements<T> dy, Elements<T> kept, int64_t n, double s, double t) {
  VIGOR_PICK(unary_backward)(op, dx, dy, kept, n, static_cast<float>(s), static_cast<float>(t));
}

void binary_forward_row(Binary op, double* y, Elements<double> a, Elements<double> b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = naive::binary_value(op, a.data[i * a.stride], b.data[i * b.stride]);
}
template <class T>
void binary_forward_row(Binary op, T* y, Elements<T> a, Elements<T> b, int64_t n) {
  VIGOR_PICK(binary_forward)(op, y, a, b, n);
}

void binary_backward_row(Binary op, int input, double* dx, Elements<double> dy, Elements<double> a, Elements<double> b,
                         int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    dx[i] = dy.data[i * dy.stride] * naive::binary_slope(op, input, a.data[i * a.stride], b.data[i * b.stride]);
}
template <class T>
void binary_backward_row(Binary op, int input, T* dx, Elements<T> dy, Elements<T> a, Elements<T> b, int64_t n) {
  VIGOR_PICK(binary_backward)(op, input, dx, dy, a, b, n);
}

// The stretch of operand k in a loop whose operand 0 is the result.
template <class T, class Loop, class Offsets>
Elements<T> stretch(const TensorView& x, const Loop& loop, const Offsets& offsets, int k) {
  return {x.as<T>() + offsets[static_cast<size_t>(k)], loop.inner_stride(k)};
}

}  // namespace

void unary_forward_cpu(Unary op, const TensorView& y, const TensorView& x, double s, double t) {
  const StridedLoop<2> loop(y.sizes, {y.strides, x.strides});
  visit_float(y.dtype, "elementwise", [&]<class T>() {
    parallel_rows(loop, [&](const std::array<int64_t, 2>& at, int64_t n) {
      unary_forward_row(op, y.as<T>() + at[0], stretch<T>(x, loop, at, 1), n, s, t);
    });
  });
}

void unary_backward_cpu(Unary op, const TensorView& dx, const TensorView& dy, const TensorView& kept, double s,
                        double t) {
  const TensorView& k = kept.defined() ? kept : dy;
  const StridedLoop<3> loop(dx.sizes, {dx.strides, dy.strides, k.strides});
  visit_float(dx.dtype, "elementwise", [&]<class T>() {
    parallel_rows(loop, [&](const std::array<int64_t, 3>& at, int64_t n) {
      unary_backward_row(op, dx.as<T>() + at[0], stretch<T>(dy, loop, at, 1), stretch<T>(k, loop, at, 2), n, s, t);
    });
  });
}

void binary_forward_cpu(Binary op, const TensorView& y, const TensorView& a, const TensorView& b) {
  const StridedLoop<3> loop(y.sizes, {y.strides, a.strides, b.strides});
  visit_float(y.dtype, "elementwise", [&]<class T>() {
    parallel_rows(loop, [&](const std::array<int64_t, 3>& at, int64_t n) {
      binary_forward_row(op, y.as<T>() + at[0], stretch<T>(a, loop, at, 1), stretch<T>(b, loop, at, 2), n);
    });
  });
}

void binary_backward_cpu(Binary op, int input, const TensorView& dx, const TensorView& dy, const TensorView& a,
                         const TensorView& b) {
  const StridedLoop<4> loop(dx.sizes, {dx.strides, dy.strides, a.strides, b.strides});
  visit_float(dx.dtype, "elementwise", [&]<class T>() {
    parallel_rows(loop, [&](const std::array<int64_t, 4>& at, int64_t n) {
      binary_backward_row(op, input, dx.as<T>() + at[0], stretch<T>(dy, loop, at, 1), stretch<T>(a, loop, at, 2),
                          stretch<T>(b, loop, at, 3), n);
    });
  });
}

}  // namespace vigor
