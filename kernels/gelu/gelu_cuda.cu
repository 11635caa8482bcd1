#include "kernels/gelu/gelu_cuda.cuh"

#include "kernels/gelu/gelu_kernels.h"
#include "kernels/map_cuda.cuh"

namespace vigor {
namespace {

struct ErfForward {
  __device__ float operator()(float x) const { return gelu_erf(x); }
};
struct ErfBackward {
  __device__ float operator()(float dy, float x) const { return dy * gelu_erf_gradient(x); }
};
struct TanhForward {
  __device__ float operator()(float x) const { return gelu_tanh(x); }
};
struct TanhBackward {
  __device__ float operator()(float dy, float x) const { return dy * gelu_tanh_gradient(x); }
};

}  // namespace

void gelu_forward_cuda(const TensorView& y, const TensorView& x, GeluKind kind) {
  visit_cuda_float(x.dtype, "gelu", [&]<class T>() {
    if (kind == GeluKind::erf) launch_float_map<T>("gelu", ErfForward(), y, x);
    else launch_float_map<T>("gelu", TanhForward(), y, x);
  });
}

void gelu_backward_cuda(const TensorView& dx, const TensorView& dy, const TensorView& x, GeluKind kind) {
  visit_cuda_float(x.dtype, "gelu_backward", [&]<class T>() {
    if (kind == GeluKind::erf) launch_float_map<T>("gelu_backward", ErfBackward(), dx, dy, x);
    else launch_float_map<T>("gelu_backward", TanhBackward(), dx, dy, x);
  });
}

}  // namespace vigor
