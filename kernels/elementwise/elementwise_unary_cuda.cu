#include "kernels/elementwise/elementwise_kernels.h"
#include "kernels/elementwise/elementwise_rows.cuh"
#include "kernels/map_cuda.cuh"

namespace vigor {
namespace device {

// ---- the rows of the table as functions of one element ----

#define VIGOR_ROW(name, value, slope, keeps)                                       \
  struct unary_##name {                                                            \
    float s, t;                                                                    \
    __device__ float operator()(float x) const { return value; }                   \
  };                                                                               \
  struct unary_##name##_backward {                                                 \
    float s, t;                                                                    \
    __device__ float operator()(float dy, float x) const {                         \
      [[maybe_unused]] const float y = x; /* the row keeps one of them, or none */ \
      return dy * (slope);                                                         \
    }                                                                              \
  };
VIGOR_UNARY_ROWS(VIGOR_ROW)
#undef VIGOR_ROW

}  // namespace device

void unary_forward_cuda(Unary op, const TensorView& y, const TensorView& x, double s, double t) {
  visit_cuda_float(y.dtype, "elementwise", [&]<class T>() {
#define VIGOR_CASE(name, ...) \
  case Unary::name:           \
    return launch_float_map<T>(#name, device::unary_##name{static_cast<float>(s), static_cast<float>(t)}, y, x);
    switch (op) { VIGOR_UNARY_ROWS(VIGOR_CASE) }
#undef VIGOR_CASE
  });
}

void unary_backward_cuda(Unary op, const TensorView& dx, const TensorView& dy, const TensorView& kept, double s,
                         double t) {
  const TensorView& k = kept.defined() ? kept : dy;
  visit_cuda_float(dx.dtype, "elementwise", [&]<class T>() {
#define VIGOR_CASE(name, ...)   \
  case Unary::name:             \
    return launch_float_map<T>( \
        #name "_backward", device::unary_##name##_backward{static_cast<float>(s), static_cast<float>(t)}, dx, dy, k);
    switch (op) { VIGOR_UNARY_ROWS(VIGOR_CASE) }
#undef VIGOR_CASE
  });
}

}  // namespace vigor
