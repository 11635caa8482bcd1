#pragma once
// Shares the index range [0, n) out among the threads, in blocks whose borders depend on n alone: a kernel that sums
// block by block gives the same result for every number of threads.
#include <algorithm>
#include <cstdint>

#include "tensor/threads.h"

namespace vigor {

inline constexpr int64_t kElementsPerBlock = 1 << 14;  // element by element; below it, starting threads does not pay

// Calls f(begin, end) for every block of at most `block` indices.
template <class F>
void parallel_blocks(int64_t n, int64_t block, F&& f) {
  const int64_t blocks = (n + block - 1) / block;
  parallel_for(blocks, blocks > 1, [&](int64_t i) { f(i * block, std::min(n, (i + 1) * block)); });
}

// The same for rows of `columns` elements, whose blocks may be small: threads start only where there is work for them.
template <class F>
void parallel_row_blocks(int64_t rows, int64_t columns, int64_t block, F&& f) {
  const bool pays = rows * columns > kElementsPerBlock;
  parallel_for((rows + block - 1) / block, pays, [&](int64_t i) { f(i * block, std::min(rows, (i + 1) * block)); });
}

}  // namespace vigor
