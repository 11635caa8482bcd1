#pragma once
#include "kernels/random_words.h"

namespace vigor {

// y_i = x_i * scale where word i of `random` is at least `threshold`, else 0.
template <class T>
struct DropoutRange {
  int64_t n;
  T* y;
  const T* x;
  uint32_t threshold;
  float scale;
  RandomSequence random;
};

VIGOR_PER_ISA(void dropout(const DropoutRange<float>& range); void dropout(const DropoutRange<bf16>& range);)

}  // namespace vigor
