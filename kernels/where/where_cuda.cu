#include "kernels/map_cuda.cuh"
#include "kernels/visit_size_cuda.cuh"
#include "kernels/where/where_kernels.h"

namespace vigor {
namespace {

struct Choose {
  template <class T>
  __device__ T operator()(uint8_t mask, T a, T b) const {
    return mask != 0 ? a : b;
  }
};

}  // namespace

void where_cuda(const TensorView& y, const TensorView& mask, const TensorView& a, const TensorView& b) {
  visit_size(size_of(y.dtype), [&]<class T>() { launch_map<T, uint8_t, T, T>("where", Choose(), y, mask, a, b); });
}

}  // namespace vigor
