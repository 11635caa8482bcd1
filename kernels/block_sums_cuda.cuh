#pragma once
// The last step of a gradient that sums over rows, as add_blocks() in kernels/block_sums.h.
#include "kernels/block_sums.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {

inline constexpr int kAddBlocksColumns = 32, kAddBlocksGroups = 8;

// gradient[c,k] (+)= sum over b of partial[b stride + k columns + c]. A block owns 32 columns of one k, blockIdx.y;
// thread (c, g) adds the blocks g, g + 8, ..., and the eight sums of a column are added in order.
template <class T>
__global__ void __launch_bounds__(kAddBlocksColumns* kAddBlocksGroups)
    add_blocks_kernel(T* gradient, bool accumulate, const float* partial, int64_t blocks, int64_t stride,
                      int64_t columns) {
  __shared__ float sums[kAddBlocksGroups][kAddBlocksColumns];
  const int64_t c = int64_t{blockIdx.x} * kAddBlocksColumns + threadIdx.x;
  float sum = 0;
  if (c < columns)
    for (int64_t b = threadIdx.y; b < blocks; b += kAddBlocksGroups)
      sum += partial[b * stride + blockIdx.y * columns + c];
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || c >= columns) return;
  float total = 0;
  for (int g = 0; g < kAddBlocksGroups; ++g) total += sums[g][threadIdx.x];
  T& value = gradient[c * gridDim.y + blockIdx.y];
  value = from_float<T>(accumulate ? to_float(value) + total : total);
}

// gradient[c,k] (+)= sum over b of partial[b,which + k,c] for k < width, in an order that depends on the number of
// blocks alone; partial [blocks,count,C] f32.
inline void add_blocks_cuda(const GradientView& gradient, const TensorView& partial, int64_t which, int64_t width = 1) {
  if (!gradient.defined()) return;
  const int64_t blocks = partial.sizes[0], columns = partial.sizes[2];
  const dim3 grid(static_cast<unsigned>(ceil_div(columns, kAddBlocksColumns)), static_cast<unsigned>(width));
  visit_cuda_float(gradient.view.dtype, "add_blocks", [&]<class T>() {
    add_blocks_kernel<<<grid, dim3(kAddBlocksColumns, kAddBlocksGroups), 0, cuda_stream()>>>(
        static_cast<T*>(gradient.view.data), gradient.accumulate, partial.as<const float>() + which * columns, blocks,
        partial.sizes[1] * columns, columns);
  });
  VIGOR_CUDA_CHECK_LAUNCH("add_blocks");
}

}  // namespace vigor
