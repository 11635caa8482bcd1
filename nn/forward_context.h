#pragma once
// What a forward pass is told beside its inputs.
#include <cstdint>
#include <string_view>

#include "kernels/linear_cross_entropy/linear_cross_entropy.h"
#include "tensor/step_state.h"
#include "tensor/tensor.h"

namespace vigor {

struct ForwardContext {
  double dropout = 0;  // probability; 0, the default, outside training
  uint64_t seed = 0;   // of the run; with step and micro_batch it numbers the dropout masks
  uint32_t step = 0;
  // Where given, in the memory of the model's device: masks are numbered by state->step when they are made, and not by
  // `step`, so that a step that is captured once draws new ones at each replay.
  const StepState* state = nullptr;
  uint32_t micro_batch = 0;  // 0.. within an accumulated step
  bool recompute = false;    // keep only the input of each block and run the block again in backward
  // Activations from the first layer to the head in bf16, beside parameters of any dtype: half of what a step keeps and
  // moves. Sums, states, parameters and their gradients stay f32.
  bool bf16_activations = false;
  GradientFilter filter;  // of the head's gradients, in a loss
};

// Dropout with the mask of (context, name): name the place ("layers.3.ffn"), so that no two places share a mask and a
// recomputed block repeats its own. Returns x itself when context.dropout is 0.
Tensor apply_dropout(const Tensor& x, const ForwardContext& context, std::string_view name);

}  // namespace vigor
