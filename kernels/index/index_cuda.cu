#include "kernels/index/index_kernels.h"
#include "kernels/visit_size_cuda.cuh"
#include "tensor/cuda_kernel.cuh"
#include "tensor/strided_loop.h"

namespace vigor {
namespace {

constexpr int kThreads = 256;

template <class F>
void visit_ids(Dtype dtype, F&& f) {
  if (dtype == Dtype::i32) return f.template operator()<int32_t>();
  f.template operator()<int64_t>();
}

// One thread an element of y. Offset 1 is that of x at id 0. An id out of range gives an element of ones in all bits:
// NaN, or for integers -1 (u8: 255).
template <class T, class Id>
__global__ void __launch_bounds__(kThreads) gather_kernel(T* y, const T* x, const Id* ids, int64_t n,
                                                          DeviceStrides<3> strides, int64_t x_size, int64_t x_stride) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    int64_t at[3];
    strides.offsets(i, at);
    const int64_t id = ids[at[2]];
    y[at[0]] = id >= 0 && id < x_size ? x[at[1] + id * x_stride] : static_cast<T>(~T{0});
  }
}

// The line along dim that an element of dy belongs to, and its place there.
struct LineSizes {
  int64_t length;
  int64_t dy_stride, id_stride, dx_stride;  // along dim
  int64_t dx_size;
};

// A thread belongs to an element of dy. Of those in a line with one id the first adds up all of them, in order, so that
// no element of dx has two writers; the others end. Each looks through the ids of its line: length^2 reads a line,
// which the lanes of a warp mostly share.
template <class T, class Id>
__global__ void __launch_bounds__(kThreads) gather_backward_kernel(float* dx, const T* dy, const Id* ids, int64_t lines,
                                                                   DeviceStrides<3> strides, LineSizes s) {
  for (int64_t i = global_thread(); i < lines * s.length; i += global_threads()) {
    const int64_t place = i / lines;  // neighbouring threads: neighbouring lines, at one place
    int64_t at[3];                    // of the line: in dy, dx, ids
    strides.offsets(i - place * lines, at);
    const Id* line_ids = ids + at[2];
    const int64_t id = line_ids[place * s.id_stride];
    bool is_first = id >= 0 && id < s.dx_size;
    for (int64_t j = 0; is_first && j < place; ++j) is_first = line_ids[j * s.id_stride] != id;
    if (!is_first) continue;
    float& out = dx[at[1] + id * s.dx_stride];
    float sum = out;
    for (int64_t j = place; j < s.length; ++j)
      if (line_ids[j * s.id_stride] == id) sum += to_float(dy[at[0] + j * s.dy_stride]);
    out = sum;
  }
}

}  // namespace

void gather_cuda(const TensorView& y, const TensorView& x, int dim, const TensorView& ids) {
  if (y.numel() == 0) return;
  Strides x_strides = x.strides;
  x_strides[dim] = 0;
  const DeviceStrides<3> strides(StridedLoop<3>(ids.sizes, {y.strides, x_strides, ids.strides}));
  visit_size(size_of(y.dtype), [&]<class T>() {
    visit_ids(ids.dtype, [&]<class Id>() {
      gather_kernel<<<grid_size(y.numel(), kThreads), kThreads, 0, cuda_stream()>>>(
          y.as<T>(), x.as<const T>(), ids.as<const Id>(), y.numel(), strides, x.sizes[dim], x.strides[dim]);
    });
  });
  VIGOR_CUDA_CHECK_LAUNCH("gather");
}

void gather_backward_cuda(const TensorView& dx, const TensorView& dy, int dim, const TensorView& ids) {
  if (dy.numel() == 0) return;
  Shape sizes = ids.sizes;
  std::array<Strides, 3> strides{dy.strides, dx.strides, ids.strides};
  const LineSizes line{sizes[dim], strides[0][dim], strides[2][dim], strides[1][dim], dx.sizes[dim]};
  sizes.erase(dim);
  for (Strides& s : strides) s.erase(dim);
  const DeviceStrides<3> lines(StridedLoop<3>(sizes, strides));
  visit_cuda_float(dy.dtype, "gather_backward", [&]<class T>() {
    visit_ids(ids.dtype, [&]<class Id>() {
      gather_backward_kernel<<<grid_size(dy.numel(), kThreads), kThreads, 0, cuda_stream()>>>(
          dx.as<float>(), static_cast<const T*>(dy.data), ids.as<const Id>(), dy.numel() / line.length, lines, line);
    });
  });
  VIGOR_CUDA_CHECK_LAUNCH("gather_backward");
}

}  // namespace vigor
