#pragma once
// What changes from one training step to the next, in device memory: kernels read it there instead of taking the values
// as arguments, so that a whole step can be captured once and replayed.
#include <cstdint>

#include "tensor/tensor.h"

namespace vigor {

struct StepState {
  int64_t step = 0;  // counted from 0; the step word of every RandomKey
  // The first step whose gradient norm was not finite, or -1. Written by the global norm; from then on AdamW changes
  // nothing, so that the host may look at it now and then and still find the weights of that step.
  int64_t failed_step = -1;
  float learning_rate = 0;
  float bias_correction1 = 1;  // 1 - beta1^(step+1)
  float bias_correction2 = 1;  // 1 - beta2^(step+1)
  float grad_norm = 0;         // written by the global norm
  float clip_factor = 1;       // min(1, max_norm / (grad_norm + 1e-6)), written beside it
};

// One StepState where the kernels of a device can read it, and the host's copy.
class StepStateMemory {
 public:
  explicit StepStateMemory(Device device = kCpu);

  StepState& host() { return *static_cast<StepState*>(host_.raw()); }
  StepState* on_device() { return static_cast<StepState*>(device_.raw()); }  // &host() on a CPU
  void upload();                                                             // host -> device
  void download();                                                           // device -> host; waits for the device

 private:
  Tensor host_, device_;
};

}  // namespace vigor
