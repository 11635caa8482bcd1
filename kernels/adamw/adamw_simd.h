#pragma once
#include "tensor/simd.h"

namespace vigor {

// The numbers of one step, and a range of the arena.
struct AdamWRange {
  int64_t count;
  float* param;
  const float* grad;
  float* m;
  float* v;
  float clip_factor;
  float decay;  // 1 - lr wd
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float step_size;          // lr / c1
  float rsqrt_correction2;  // 1 / sqrt(c2)
  float eps;
};

VIGOR_PER_ISA(void adamw_update(AdamWRange r);)

}  // namespace vigor
