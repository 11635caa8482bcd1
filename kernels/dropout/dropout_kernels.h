#pragma once
#include "tensor/philox.h"
#include "tensor/step_state.h"
#include "tensor/view.h"

namespace vigor {

// y = keep x / (1 - p); contiguous views of one size and dtype. The step word of the key is state->step, in the memory
// of x's device, unless state is null.
void dropout_cpu(const TensorView& y, const TensorView& x, double p, const RandomKey& key, const StepState* state);
void dropout_cuda(const TensorView& y, const TensorView& x, double p, const RandomKey& key, const StepState* state);

// An element is kept when its random word is at least this.
inline uint32_t dropout_threshold(double p) { return static_cast<uint32_t>(p * 0x1p32); }

}  // namespace vigor
