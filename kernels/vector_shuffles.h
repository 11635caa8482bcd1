#pragma once
// For *_simd.cpp files: elements of several vectors in another order.
#include "tensor/simd.h"

#if defined(VIGOR_ISA)

namespace vigor::VIGOR_ISA {

// Elements of the first (last) halves of x and y in turns: x0 y0 x1 y1 ..
VIGOR_INLINE vfloat interleave_first(vfloat x, vfloat y) {
#if defined(VIGOR_ISA_IS_avx512)
  return __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif defined(VIGOR_ISA_IS_avx2)
  return __builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
#else
  return __builtin_shufflevector(x, y, 0, 4, 1, 5);
#endif
}
VIGOR_INLINE vfloat interleave_last(vfloat x, vfloat y) {
#if defined(VIGOR_ISA_IS_avx512)
  return __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif defined(VIGOR_ISA_IS_avx2)
  return __builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  return __builtin_shufflevector(x, y, 2, 6, 3, 7);
#endif
}

// Lane i becomes the sum of all lanes of row[i]. They are taken together: each step adds the halves of two vectors into
// one, until one vector holds all sums.
VIGOR_INLINE vfloat horizontal_sums(vfloat (&row)[kLanes]) {
  for (int64_t n = kLanes / 2; n > 0; n /= 2)
    for (int64_t i = 0; i < n; ++i) row[i] = interleave_first(row[i], row[i + n]) + interleave_last(row[i], row[i + n]);
  return row[0];
}

// The transpose of kLanes vectors. Interleaving the first half of the rows with the second, log2(kLanes) times, moves
// element (i, p) to (p, i).
VIGOR_INLINE void transpose(vfloat (&row)[kLanes]) {
  for (int64_t step = 1; step < kLanes; step *= 2) {
    vfloat mixed[kLanes];
    for (int64_t i = 0; i < kLanes / 2; ++i) {
      mixed[2 * i] = interleave_first(row[i], row[i + kLanes / 2]);
      mixed[2 * i + 1] = interleave_last(row[i], row[i + kLanes / 2]);
    }
    for (int64_t i = 0; i < kLanes; ++i) row[i] = mixed[i];
  }
}

}  // namespace vigor::VIGOR_ISA

#endif  // VIGOR_ISA
