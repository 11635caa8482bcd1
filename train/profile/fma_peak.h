#pragma once
// The ceiling of every product: multiply-adds on registers, nothing loaded or stored.
#include "tensor/simd.h"

namespace vigor {

// Multiply-adds of one pass (times 2 floating-point operations) and the pass itself, 1000 rounds on `accumulators`
// independent sums. The result only keeps the compiler from dropping the work.
VIGOR_PER_ISA(int64_t fma_peak_count(); float fma_peak_pass(float factor);)

}  // namespace vigor
