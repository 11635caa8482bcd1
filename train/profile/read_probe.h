#pragma once
// The ceiling of everything that is limited by memory: reading, and nothing else.
#include "tensor/simd.h"

namespace vigor {

// Sums n floats. The result only keeps the compiler from dropping the work.
VIGOR_PER_ISA(float read_probe(const float* x, int64_t n);)

}  // namespace vigor
