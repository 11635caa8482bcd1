#pragma once
#include "tensor/simd.h"

namespace vigor {

// y_i = x_i * scale where random word `first + i` is at least `threshold`, else 0.
template <class T>
struct DropoutRange {
  int64_t n;
  T* y;
  const T* x;
  uint64_t first;  // a multiple of 4: Philox makes four words at a time
  uint32_t threshold;
  float scale;
  uint64_t seed;          // the key's words, as in random_block of tensor/philox.h
  uint32_t step, stream;  // third and fourth word of the counter
};

VIGOR_PER_ISA(void dropout(const DropoutRange<float>& range); void dropout(const DropoutRange<bf16>& range);)

}  // namespace vigor
