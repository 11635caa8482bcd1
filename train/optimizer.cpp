#include "train/optimizer.h"

#include <cmath>

#include "kernels/global_norm/global_norm.h"

namespace vigor {

Optimizer::Optimizer(ParameterArena& arena, const AdamWOptions& options, double clip_norm)
    : arena_(arena), options_(options), clip_norm_(clip_norm) {
  for (const ArenaGroup& group : arena.groups())
    moments_.push_back({zeros_like(group.values), zeros_like(group.values)});
}

void Optimizer::measure(StepState& state) {
  arena_.complete_gradients();
  std::vector<Tensor> gradients;
  for (const ArenaGroup& group : arena_.groups()) gradients.push_back(group.gradients);
  global_norm(gradients, clip_norm_, state);
}

void Optimizer::update(StepState& state) {
  const auto t = static_cast<double>(state.step + 1);
  state.bias_correction1 = static_cast<float>(1 - std::pow(options_.beta1, t));
  state.bias_correction2 = static_cast<float>(1 - std::pow(options_.beta2, t));
  for (size_t i = 0; i < moments_.size(); ++i) {
    const ArenaGroup& group = arena_.groups()[i];
    adamw_update(group.values, group.gradients, moments_[i].exp_avg, moments_[i].exp_avg_sq, state, options_);
  }
}

std::vector<std::pair<std::string, Tensor>> Optimizer::named_state() const {
  std::vector<std::pair<std::string, Tensor>> named;
  for (size_t i = 0; i < moments_.size(); ++i) {
    for (const ArenaSlot& slot : arena_.groups()[i].slots) {
      const auto part = [&](const Tensor& moments) {
        TensorView view = slot.tensor.view();
        view.data = static_cast<std::byte*>(moments.raw()) + static_cast<size_t>(slot.offset) * size_of(view.dtype);
        return moments.with_view(view);
      };
      named.emplace_back("exp_avg." + slot.name, part(moments_[i].exp_avg));
      named.emplace_back("exp_avg_sq." + slot.name, part(moments_[i].exp_avg_sq));
    }
  }
  return named;
}

}  // namespace vigor
