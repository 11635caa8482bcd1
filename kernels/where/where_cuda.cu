#include "kernels/map_cuda.cuh"
#include "kernels/where/where_kernels.h"

namespace vigor {
namespace {

struct Choose {
  template <class T>
  __device__ T operator()(uint8_t mask, T a, T b) const {
    return mask != 0 ? a : b;
  }
};

// Elements are moved and not computed with: unsigned integers of their size stand for every dtype.
template <class F>
void visit_size(size_t nbytes, F&& f) {
  switch (nbytes) {
    case 1:
      return f.template operator()<uint8_t>();
    case 2:
      return f.template operator()<uint16_t>();
    case 4:
      return f.template operator()<uint32_t>();
    default:
      return f.template operator()<uint64_t>();
  }
}

}  // namespace

void where_cuda(const TensorView& y, const TensorView& mask, const TensorView& a, const TensorView& b) {
  visit_size(size_of(y.dtype), [&]<class T>() { launch_map<T, uint8_t, T, T>("where", Choose(), y, mask, a, b); });
}

}  // namespace vigor
