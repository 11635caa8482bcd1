#pragma once
// What changes from one training step to the next, in device memory: kernels read it there instead of taking the values
// as arguments, so that a whole step can be captured once and replayed.
#include <cstdint>

#include "tensor/staged_tensor.h"

namespace vigor {

struct StepState {
  // What the host sets before a step...
  int64_t step = 0;  // counted from 0; the step word of every RandomKey
  float learning_rate = 0;
  float bias_correction1 = 1;  // 1 - beta1^(step+1)
  float bias_correction2 = 1;  // 1 - beta2^(step+1)
  // ... and what the step leaves.
  float grad_norm = 0;    // written by the global norm
  float clip_factor = 1;  // min(1, max_norm / (grad_norm + 1e-6)), written beside it
  // The first step whose gradient norm was not finite, or -1. Written by the global norm; from then on AdamW changes
  // nothing, so that the host may look at it now and then and still find the weights of that step.
  int64_t failed_step = -1;
};

// One StepState where the kernels of a device can read it.
class StepStateMemory {
 public:
  explicit StepStateMemory(Device device = kCpu);

  void set_inputs(const StepState& state);  // what the host sets, before the step; does not wait
  StepState* on_device() const { return static_cast<StepState*>(state_.raw()); }
  StepState read() const;  // waits for the device

 private:
  StagedTensor inputs_;
  Tensor state_;
};

}  // namespace vigor
