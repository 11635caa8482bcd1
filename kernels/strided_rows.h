#pragma once
// Shares the elements of a StridedLoop out among the threads.
#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/parallel.h"
#include "tensor/strided_loop.h"

namespace vigor {

// Calls f(offsets, n) for stretches that cover the loop once: element i < n of operand k is at
// offsets[k] + i * loop.inner_stride(k). Long rows are cut; short ones are taken many at a time by one thread.
template <int N, class F>
void parallel_rows(const StridedLoop<N>& loop, F&& f) {
  const int64_t n = loop.row_length();
  const int64_t rows = loop.rows();
  if (rows == 1) {
    parallel_blocks(n, kElementsPerBlock, [&](int64_t begin, int64_t end) {
      std::array<int64_t, N> offsets;
      for (int k = 0; k < N; ++k) offsets[static_cast<size_t>(k)] = begin * loop.inner_stride(k);
      f(offsets, end - begin);
    });
    return;
  }
  const int64_t rows_per_block = std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(n, 1));
  parallel_blocks(rows, rows_per_block, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) f(loop.row_offsets(row), n);
  });
}

}  // namespace vigor
