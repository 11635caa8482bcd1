#pragma once
// For *_simd.cpp files: the transpose of a square of kLanes vectors.
#include "tensor/simd.h"

#if defined(VIGOR_ISA)

namespace vigor::VIGOR_ISA {

// Interleaving the first half of the rows with the second, log2(kLanes) times, moves element (i, p) to (p, i).
VIGOR_INLINE void transpose(vfloat (&row)[kLanes]) {
  for (int64_t step = 1; step < kLanes; step *= 2) {
    vfloat mixed[kLanes];
    for (int64_t i = 0; i < kLanes / 2; ++i) {
      const vfloat x = row[i], y = row[i + kLanes / 2];
#if defined(VIGOR_ISA_IS_avx512)
      mixed[2 * i] = __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      mixed[2 * i + 1] = __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif defined(VIGOR_ISA_IS_avx2)
      mixed[2 * i] = __builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
      mixed[2 * i + 1] = __builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
#else
      mixed[2 * i] = __builtin_shufflevector(x, y, 0, 4, 1, 5);
      mixed[2 * i + 1] = __builtin_shufflevector(x, y, 2, 6, 3, 7);
#endif
    }
    for (int64_t i = 0; i < kLanes; ++i) row[i] = mixed[i];
  }
}

}  // namespace vigor::VIGOR_ISA

#endif  // VIGOR_ISA
