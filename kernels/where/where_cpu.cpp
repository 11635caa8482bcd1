#include "kernels/strided_rows.h"
#include "kernels/where/where_kernels.h"
#include "tensor/dtype.h"

namespace vigor {
namespace {

template <class T>
void where_row(T* y, const uint8_t* mask, int64_t mask_stride, const T* a, int64_t a_stride, const T* b,
               int64_t b_stride, int64_t n) {
  if (mask_stride == 1 && a_stride == 1 && b_stride == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = mask[i] != 0 ? a[i] : b[i];
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = mask[i * mask_stride] != 0 ? a[i * a_stride] : b[i * b_stride];
}

}  // namespace

void where_cpu(const TensorView& y, const TensorView& mask, const TensorView& a, const TensorView& b) {
  const StridedLoop<4> loop(y.sizes, {y.strides, mask.strides, a.strides, b.strides});
  visit_any(y.dtype, [&]<class T>() {
    parallel_rows(loop, [&](const std::array<int64_t, 4>& at, int64_t n) {
      where_row(y.as<T>() + at[0], mask.as<uint8_t>() + at[1], loop.inner_stride(1), a.as<T>() + at[2],
                loop.inner_stride(2), b.as<T>() + at[3], loop.inner_stride(3), n);
    });
  });
}

}  // namespace vigor
