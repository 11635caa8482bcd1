#include "kernels/elementwise/elementwise_kernels.h"
#include "kernels/elementwise/elementwise_rows.cuh"
#include "kernels/map_cuda.cuh"

namespace vigor {
namespace device {

// ---- the rows of the table as functions of one element ----

#define VIGOR_ROW(name, value, slope_a, slope_b, keeps)                                                       \
  struct binary_##name {                                                                                      \
    __device__ float operator()(float a, float b) const { return value; }                                     \
  };                                                                                                          \
  struct binary_##name##_da {                                                                                 \
    __device__ float operator()(float dy, [[maybe_unused]] float a, float b) const { return dy * (slope_a); } \
  };                                                                                                          \
  struct binary_##name##_db {                                                                                 \
    __device__ float operator()(float dy, float a, [[maybe_unused]] float b) const { return dy * (slope_b); } \
  };
VIGOR_BINARY_ROWS(VIGOR_ROW)
#undef VIGOR_ROW

}  // namespace device

void binary_forward_cuda(Binary op, const TensorView& y, const TensorView& a, const TensorView& b) {
  visit_cuda_float(y.dtype, "elementwise", [&]<class T>() {
#define VIGOR_CASE(name, ...) \
  case Binary::name:          \
    return launch_float_map<T>(#name, device::binary_##name(), y, a, b);
    switch (op) { VIGOR_BINARY_ROWS(VIGOR_CASE) }
#undef VIGOR_CASE
  });
}

void binary_backward_cuda(Binary op, int input, const TensorView& dx, const TensorView& dy, const TensorView& a,
                          const TensorView& b) {
  visit_cuda_float(dx.dtype, "elementwise", [&]<class T>() {
#define VIGOR_CASE(name, ...)                                                                                  \
  case Binary::name:                                                                                           \
    if (input == 0) return launch_float_map<T>(#name "_backward", device::binary_##name##_da(), dx, dy, a, b); \
    return launch_float_map<T>(#name "_backward", device::binary_##name##_db(), dx, dy, a, b);
    switch (op) { VIGOR_BINARY_ROWS(VIGOR_CASE) }
#undef VIGOR_CASE
  });
}

}  // namespace vigor
