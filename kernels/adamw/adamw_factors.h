#pragma once
// What one AdamW step multiplies with, the same for all elements. Follows the rules of *_simd.cpp files.
#include <stdint.h>

namespace vigor {

template <class T>
struct AdamWFactors {
  T clip, decay;  // clip factor; 1 - lr weight_decay
  T beta1, one_minus_beta1;
  T beta2, one_minus_beta2;
  T step_size;          // lr / (1 - beta1^t)
  T denominator_scale;  // 1 / sqrt(1 - beta2^t)
  T eps;
};

// What tells the random words of one step and tensor from those of others.
struct MomentsKey {
  uint32_t word[2];
};

}  // namespace vigor
