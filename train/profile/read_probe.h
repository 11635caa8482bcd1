#pragma once
// The ceilings of everything that is limited by memory: reading, and reading and writing the same place.
#include "tensor/simd.h"

namespace vigor {

// Sums n floats. The result only keeps the compiler from dropping the work.
VIGOR_PER_ISA(float read_probe(const float* x, int64_t n);)
// Adds 0 to n floats.
VIGOR_PER_ISA(void update_probe(float* x, int64_t n);)

}  // namespace vigor
