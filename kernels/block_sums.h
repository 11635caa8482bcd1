#pragma once
// The last step of a gradient that sums over rows: each block of rows has left its own sum, and this adds them in
// order.
#include <algorithm>
#include <cstdint>

#include "kernels/gradient_view.h"

namespace vigor {

// Rows are summed in at most this many blocks, whatever the number of threads, so the result does not depend on it.
inline constexpr int64_t kSumBlocks = 32;
inline constexpr int64_t kSumBlockRows = 16;  // fewer rows in a block do not pay
// A GPU has more multiprocessors than a CPU has cores; this is about two blocks each, whatever their number.
inline constexpr int64_t kCudaSumBlocks = 256;
inline constexpr int64_t kCudaSumBlockRows = 8;

inline int64_t rows_per_sum_block(int64_t rows, Device device = kCpu) {
  const int64_t blocks = device.is_cpu() ? kSumBlocks : kCudaSumBlocks;
  return std::max(device.is_cpu() ? kSumBlockRows : kCudaSumBlockRows, (rows + blocks - 1) / blocks);
}
inline int64_t sum_blocks(int64_t rows, Device device = kCpu) {
  const int64_t per_block = rows_per_sum_block(rows, device);
  return (rows + per_block - 1) / per_block;
}

// gradient[c] (+)= sum over b of partial[b,which,c]; partial [blocks,count,C] in the accumulation type of the gradient.
inline void add_blocks(const GradientView& gradient, const TensorView& partial, int64_t which) {
  if (!gradient.defined()) return;
  visit_float(gradient.view.dtype, "add_blocks", [&]<class T>() {
    using Sum = Accumulator<T>;
    const int64_t blocks = partial.sizes[0], columns = partial.sizes[2], stride = partial.sizes[1] * columns;
    const Sum* sums = partial.as<Sum>() + which * columns;
    T* out = gradient.view.as<T>();
    for (int64_t c = 0; c < columns; ++c) {
      Sum total = 0;
      for (int64_t b = 0; b < blocks; ++b) total += sums[b * stride + c];
      out[c] = T(gradient.accumulate ? static_cast<Sum>(out[c]) + total : total);
    }
  });
}

}  // namespace vigor
