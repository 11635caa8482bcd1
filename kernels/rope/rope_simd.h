#pragma once
#include "tensor/simd.h"

namespace vigor {

// All heads of one step of one sequence.
template <class T>
struct RopeStep {
  int64_t heads, pairs;
  T* y;  // [heads, 2 pairs]
  const T* x;
  int64_t x_stride;      // between heads
  const uint32_t* turn;  // [pairs] the angles, in 2^-32 turns
  float* cosines;        // [pairs] work space
  float* sines;          // [pairs] work space
  float scale;
  bool negative;  // turns by the negative angles
};

VIGOR_PER_ISA(void rope_step(const RopeStep<float>& p); void rope_step(const RopeStep<bf16>& p);)

}  // namespace vigor
