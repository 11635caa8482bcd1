#include "train/optimizer.h"

#include "kernels/global_norm/global_norm.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
Optimizer::Optimizer(ParameterArena& arena, const OptimizerOptions& options) : arena_(arena), options_(options) {
  for (const ArenaGroup& group : arena.groups()) {
    const Dtype dtype = group.dtype == Dtype::bf16 ? Dtype::f32 : group.dtype;
    const auto like_values = [&](Dtype type) { return zeros(group.values.shape(), type, group.values.device()); };
    const Dtype moments = options.bf16_moments ? Dtype::bf16 : dtype;
    GroupState state{like_values(moments), like_values(moments), {}};
    if (group.dtype == Dtype::bf16) {
      state.master = like_values(dtype);
      copy(state.master, group.values);
    }
    state_.push_back(std::move(state));
  }
}

StepState Optimizer::inputs(int64_t step, double learning_rate) const {
  StepState state;
  state.step = step;
  state.learning_rate = static_cast<float>(learning_rate);
  set_bias_corrections(state, options_.adamw);
  return state;
}

void Optimizer::measure(StepState* state) {
  const PhaseScope phase(Phase::optimizer);
  const RegionScope region("optimizer");
  arena_.complete_gradients();
  std::vector<Tensor> gradients;
  for (const ArenaGroup& group : arena_.groups()) gradients.push_back(group.gradients);
  global_norm(gradients, options_.clip_norm, state);
}

void Optimizer::update(const StepState* state) {
  const PhaseScope phase(Phase::optimizer);
  const RegionScope region("optimizer");
  const std::vector<double>& scales = options_.learning_rate_scales;
  for (size_t i = 0; i < state_.size(); ++i) {
    const ArenaGroup& group = arena_.groups()[i];
    const GroupState& s = state_[i];
    AdamWOptions adamw = options_.adamw;
    const auto number = static_cast<size_t>(group.group);
    if (number < scales.size()) adamw.learning_rate_scale = scales[number];
    const Bf16Rounding rounding{options_.stochastic_rounding, options_.seed, static_cast<uint32_t>(i)};
    if (!s.master.defined()) {
      adamw_update(group.values, group.gradients, s.exp_avg, s.exp_avg_sq, state, adamw, rounding);
      continue;
    }
    adamw_update_mixed(group.values, s.master, group.gradients, s.exp_avg, s.exp_avg_sq, state, adamw, rounding);
  }
}

Tensor Optimizer::full_precision(const ArenaSlot& parameter) const {
  for (size_t i = 0; i < state_.size(); ++i) {
    if (!state_[i].master.defined()) continue;
    for (const ArenaSlot& slot : arena_.groups()[i].slots)
      if (slot.name == parameter.name) return slot.part_of(state_[i].master);
  }
  return parameter.tensor;
}

std::vector<std::pair<std::string, Tensor>> Optimizer::named_state() const {
  std::vector<std::pair<std::string, Tensor>> named;
  for (size_t i = 0; i < state_.size(); ++i) {
    for (const ArenaSlot& slot : arena_.groups()[i].slots) {
      named.emplace_back("exp_avg." + slot.name, slot.part_of(state_[i].exp_avg));
      named.emplace_back("exp_avg_sq." + slot.name, slot.part_of(state_[i].exp_avg_sq));
      if (state_[i].master.defined() && options_.stochastic_rounding)
        named.emplace_back("rounded." + slot.name, slot.tensor.without_slot());
    }
  }
  return named;
}

void Optimizer::set_masters(const std::function<Tensor(const std::string& name)>& value_of) {
  for (size_t i = 0; i < state_.size(); ++i) {
    if (!state_[i].master.defined()) continue;
    for (const ArenaSlot& slot : arena_.groups()[i].slots) {
      copy(slot.part_of(state_[i].master), value_of(slot.name));
      copy(slot.tensor, slot.part_of(state_[i].master));
      slot.tensor.storage()->bump_version();
    }
  }
}

}  // namespace vigor
