#pragma once
// The steps of one sequence of a batch, for the kernels of operations that walk time; *_simd.cpp files take it too.
#include <stdint.h>

namespace vigor {

// `length` real steps, then padding up to `steps`. A non-zero resets[t]: zeros take the place of the state before t.
struct SequenceSteps {
  int64_t steps, length;
  const uint8_t* resets;  // [steps] or null

  // Inlined always: of a copy in a *_simd.cpp file the linker might take one for another instruction set.
  [[gnu::always_inline]] bool is_reset(int64_t t) const { return resets != nullptr && resets[t] != 0; }
};

}  // namespace vigor
