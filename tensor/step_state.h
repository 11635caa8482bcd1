#pragma once
// What changes from one training step to the next, in device memory: kernels read it there instead of taking the values
// as arguments, so that a whole step can be captured once and replayed.
#include <cstdint>

namespace vigor {

struct StepState {
  int64_t step = 0;  // counted from 0; the step word of every RandomKey
  float learning_rate = 0;
  float bias_correction1 = 1;  // 1 - beta1^(step+1)
  float bias_correction2 = 1;  // 1 - beta2^(step+1)
  float grad_norm = 0;         // written by the global norm
  float clip_factor = 1;       // min(1, max_norm / (grad_norm + 1e-6)), written beside it
};

}  // namespace vigor
