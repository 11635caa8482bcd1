#pragma once
// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over a model's parameter arenas: the moments are tensors of the
// same size, so a step is one global norm and one fused pass over each arena.
#include <string>
#include <utility>
#include <vector>

#include "kernels/adamw/adamw.h"
#include "nn/parameter_arena.h"
#include "tensor/step_state.h"

namespace vigor {

class Optimizer {
 public:
  // `clip_norm` 0: no clipping. The arena must outlive the optimiser and have gradients allocated.
  Optimizer(ParameterArena& arena, const AdamWOptions& options, double clip_norm);

  // Completes the gradients of this step and writes state.grad_norm and state.clip_factor.
  void measure(StepState& state);
  // One AdamW step with state.learning_rate; writes state's bias corrections from state.step.
  void update(StepState& state);

  // The moments by parameter, "exp_avg.<name>" and "exp_avg_sq.<name>": views, for reading and writing.
  std::vector<std::pair<std::string, Tensor>> named_state() const;

 private:
  ParameterArena& arena_;
  AdamWOptions options_;
  double clip_norm_;
  struct Moments {
    Tensor exp_avg;     // m
    Tensor exp_avg_sq;  // v
  };
  std::vector<Moments> moments_;  // one for each arena group
};

}  // namespace vigor
