#pragma once
// The steps of one sequence of a batch, for the kernels of operations that walk time. Plain data, so that *_simd.cpp
// files and CUDA kernels may take it.
#include <stdint.h>

namespace vigor {

// `length` real steps, then padding up to `steps`. A non-zero resets[t]: zeros take the place of the state before t.
struct SequenceSteps {
  int64_t steps, length;
  const uint8_t* resets;  // [steps] or null
};

}  // namespace vigor
