#pragma once
// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over a model's parameter arenas: the moments are tensors of the
// same size, so a step is one global norm and one fused pass over each arena; an arena may have a learning rate of its
// own. bf16 parameters have an f32 master copy, which the step changes and rounds them from; it starts as their own
// values.
#include <string>
#include <utility>
#include <vector>

#include "kernels/adamw/adamw.h"
#include "nn/parameter_arena.h"
#include "tensor/step_state.h"

namespace vigor {

struct OptimizerOptions {
  AdamWOptions adamw;
  double clip_norm = 0;              // 0: no clipping
  bool stochastic_rounding = false;  // of bf16 parameters
  bool bf16_moments = false;         // m and v in bf16, rounded at random, beside parameters in f32 or bf16
  uint64_t seed = 0;                 // of both kinds of rounding
  // Times the learning rate, for the parameters of arena group number i; groups beyond the list have 1.
  std::vector<double> learning_rate_scales;
};

class Optimizer {
 public:
  // The arena must outlive the optimiser and have gradients allocated.
  Optimizer(ParameterArena& arena, const OptimizerOptions& options);

  // The host's part of the step numbered `step`: what StepStateMemory::set_inputs takes.
  StepState inputs(int64_t step, double learning_rate) const;
  // Completes the gradients of this step and writes grad_norm, clip_factor and failed_step of `state`, which lies in
  // the memory of the arena's device.
  void measure(StepState* state);
  // One AdamW step.
  void update(const StepState* state);

  // A parameter's f32 master, or the parameter itself where it has none.
  Tensor full_precision(const ArenaSlot& parameter) const;

  // What a checkpoint keeps, by parameter, as views for reading and writing: "exp_avg.<name>", "exp_avg_sq.<name>";
  // with stochastic rounding also "rounded.<name>", bf16 weights that their master alone would not give back.
  std::vector<std::pair<std::string, Tensor>> named_state() const;
  // Masters from the f32 values of a checkpoint's model file, and bf16 weights rounded from them.
  void set_masters(const std::function<Tensor(const std::string& name)>& value_of);

 private:
  struct GroupState {
    Tensor exp_avg;     // m, f32 or bf16, as v
    Tensor exp_avg_sq;  // v
    Tensor master;      // f32; undefined for parameters that are not bf16
  };
  ParameterArena& arena_;
  OptimizerOptions options_;
  std::vector<GroupState> state_;  // one for each arena group
};

}  // namespace vigor
