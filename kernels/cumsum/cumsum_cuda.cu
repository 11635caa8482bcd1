#include "kernels/cumsum/cumsum_kernels.h"
#include "tensor/cuda_kernel.cuh"
#include "tensor/strided_loop.h"

namespace vigor {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;

// All lines of a running sum. A step is from one element of a line to the next.
struct Lines {
  DeviceStrides<2> starts;  // of each line: offsets of its first sum in y and in x
  int64_t count, length;
  int64_t y_step, x_step;
};

// One thread sums one line. Neighbouring threads have neighbouring lines: for lines that lie side by side.
template <class T>
__global__ void __launch_bounds__(kThreads) cumsum_side_by_side_kernel(T* y, const T* x, Lines lines) {
  for (int64_t line = global_thread(); line < lines.count; line += global_threads()) {
    int64_t at[2];
    lines.starts.offsets(line, at);
    double carry = 0;
    for (int64_t t = 0; t < lines.length; ++t) {
      carry += static_cast<double>(to_float(x[at[1] + t * lines.x_step]));
      y[at[0] + t * lines.y_step] = from_float<T>(static_cast<float>(carry));
    }
  }
}

// The sums over the threads 0..this one of a warp.
__device__ double warp_scan(double x, int lane) {
  for (int offset = 1; offset < kWarpSize; offset *= 2) {
    const double before = __shfl_up_sync(kFullWarp, x, offset);
    if (lane >= offset) x += before;
  }
  return x;
}

// One block sums one line, kThreads elements at a time: a scan in each warp, then every thread adds the totals of the
// warps before its own and of the stretches before this one.
template <class T>
__global__ void __launch_bounds__(kThreads) cumsum_line_kernel(T* y, const T* x, Lines lines) {
  __shared__ double totals[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  for (int64_t line = blockIdx.x; line < lines.count; line += gridDim.x) {
    int64_t at[2];
    lines.starts.offsets(line, at);
    double carry = 0;
    for (int64_t first = 0; first < lines.length; first += kThreads) {
      const int64_t t = first + threadIdx.x;
      const bool inside = t < lines.length;
      double sum = warp_scan(inside ? static_cast<double>(to_float(x[at[1] + t * lines.x_step])) : 0.0, lane);
      if (lane == kWarpSize - 1) totals[warp] = sum;
      __syncthreads();
      double stretch = 0;  // of all warps
      for (int w = 0; w < kWarps; ++w) {
        if (w == warp) sum += stretch;
        stretch += totals[w];
      }
      if (inside) y[at[0] + t * lines.y_step] = from_float<T>(static_cast<float>(carry + sum));
      carry += stretch;
      __syncthreads();  // before the next stretch writes `totals`
    }
  }
}

}  // namespace

void cumsum_cuda(const TensorView& y, const TensorView& x, int dim, bool reverse) {
  if (y.numel() == 0) return;
  // All dimensions but `dim` as a loop over lines; reversed sums start at the end and step backwards.
  Shape others = y.sizes;
  Strides y_strides = y.strides, x_strides = x.strides;
  for (Shape* s : {&others, &y_strides, &x_strides}) s->erase(dim);
  const StridedLoop<2> loop(others, {y_strides, x_strides});
  const int64_t length = y.sizes[dim], sign = reverse ? -1 : 1, first = reverse ? length - 1 : 0;
  const Lines lines{DeviceStrides<2>(loop), others.numel(), length, sign * y.strides[dim], sign * x.strides[dim]};
  const bool side_by_side = loop.inner_stride(0) == 1 && loop.row_length() >= kWarpSize;
  visit_cuda_float(y.dtype, "cumsum", [&]<class T>() {
    T* out = y.as<T>() + first * y.strides[dim];
    const T* in = x.as<T>() + first * x.strides[dim];
    if (side_by_side)
      cumsum_side_by_side_kernel<<<grid_size(lines.count, kThreads), kThreads, 0, cuda_stream()>>>(out, in, lines);
    else cumsum_line_kernel<<<grid_size(lines.count, 1), kThreads, 0, cuda_stream()>>>(out, in, lines);
  });
  VIGOR_CUDA_CHECK_LAUNCH("cumsum");
}

}  // namespace vigor
