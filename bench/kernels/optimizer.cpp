// The end of a step: the norm of all gradients, and AdamW.
#include <algorithm>

#include "bench/kernels/kernel_case.h"
#include "kernels/adamw/adamw.h"
#include "kernels/global_norm/global_norm.h"
#include "models/families.h"

namespace vigor {
namespace {

using Inputs = std::vector<Tensor>;

int64_t parameters_of(const std::string& preset) { return make_model(*preset_config(preset))->parameter_count(); }

StepState step_state() {
  StepState step;
  step.learning_rate = 1e-4f;
  set_bias_corrections(step, {});
  return step;
}

// A model's parameters, gradients and both moments, in one array each; the check takes part of them.
Operands arenas(int64_t n) {
  const Shape sizes{n};
  return Operands().activation(sizes, 0.02).activation(sizes, 1e-3).activation(sizes, 1e-3).activation(sizes, 0, 1e-4);
}

}  // namespace

void add_optimizer_cases(std::vector<KernelCase>& cases) {
  for (const char* name : {"i3-tiny", "i3-80m"}) {
    const int64_t n = parameters_of(name);
    const auto size = [n](Tokens tokens) { return std::min(n, tokens.batch * tokens.time * 100'000); };
    cases.push_back({.name = "adamw/" + std::string(name),
                     .operands = [=](Tokens tokens) { return arenas(size(tokens)); },
                     .run =
                         [](const Inputs& in) {
                           const StepState step = step_state();
                           adamw_update(in[0], in[1], in[2], in[3], &step);
                           return in[0];
                         },
                     .has_backward = false,
                     .dtypes = {Dtype::f32},
                     .checked = {1, 1}});
    // The parameters of the model are bf16; AdamW works on an f32 copy.
    cases.push_back({.name = "adamw_mixed/" + std::string(name),
                     .operands =
                         [=](Tokens tokens) {
                           const Shape sizes{size(tokens)};
                           return Operands()
                               .activation(sizes, 0.02)
                               .full_weight(sizes, -0.02, 0.02)
                               .activation(sizes, 1e-3)
                               .full_weight(sizes, -1e-3, 1e-3)
                               .full_weight(sizes, 0, 1e-4);
                         },
                     .run =
                         [](const Inputs& in) {
                           const StepState step = step_state();
                           adamw_update_mixed(in[0], in[1], in[2], in[3], in[4], &step);
                           return in[1];
                         },
                     .has_backward = false,
                     .dtypes = {Dtype::bf16},
                     .checked = {1, 1},
                     .definition =
                         [](const Inputs& in) {
                           const StepState step = step_state();
                           adamw_update(in[1], in[2], in[3], in[4], &step);
                           return in[1];
                         }});
    cases.push_back({.name = "global_norm/" + std::string(name),
                     .operands = [=](Tokens tokens) { return Operands().activation({size(tokens)}, 1e-3); },
                     .run =
                         [](const Inputs& in) {
                           StepState step;
                           global_norm(std::span(&in[0], 1), 1, &step);
                           return full({}, static_cast<double>(step.grad_norm));
                         },
                     .has_backward = false,
                     .checked = {1, 1}});
  }
}

}  // namespace vigor
