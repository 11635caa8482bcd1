// Operations that only move values: joining, transposing, converting, picking.
#include "bench/kernels/kernel_case.h"
#include "kernels/cast/cast.h"
#include "kernels/concat/concat.h"
#include "kernels/index/index.h"
#include "kernels/reduce/reduce.h"
#include "kernels/views/views.h"

namespace vigor {

void add_copy_cases(std::vector<KernelCase>& cases) {
  using Inputs = std::vector<Tensor>;
  const auto add_case = [&](const std::string& name, const std::function<Shape(Tokens)>& sizes, const Operation& run) {
    cases.push_back({.name = name, .operands = [=](Tokens n) { return Operands().activation(sizes(n)); }, .run = run});
  };

  const FalconH1Config config = falcon_preset("falcon-h1-tiny-90m");
  const int64_t d = i3_preset("i3-80m").d_model, inner = config.mamba_heads * config.mamba_head_width,
                states = config.groups * config.states, projected = 2 * inner + 2 * states + config.mamba_heads;
  // The projection of Mamba-2 is cut into views; their gradients are joined again.
  add_case(
      "split_and_join/falcon-h1-tiny-90m",
      [=](Tokens n) {
        return Shape{n.batch, n.time, projected};
      },
      [=](const Inputs& in) {
        const std::vector<Tensor> parts = split(in[0], {inner, inner + 2 * states, config.mamba_heads}, 2);
        return cat({parts[0], parts[1], parts[2]}, 2);
      });
  add_case(
      "transpose/d512",
      [=](Tokens n) {
        return Shape{n.batch, n.time, d};
      },
      [](const Inputs& in) { return contiguous(transpose(in[0], 1, 2)); });
  add_case(
      "mean/d512",
      [=](Tokens n) {
        return Shape{n.batch, n.time, d};
      },
      [](const Inputs& in) { return mean(in[0], {2}); });
  cases.push_back({.name = "cast_to_bf16/d512",
                   .operands =
                       [=](Tokens n) {
                         return Operands().activation({n.batch, n.time, d});
                       },
                   .run = [](const Inputs& in) { return cast(in[0], Dtype::bf16); },
                   .dtypes = {Dtype::f32}});
  // The last token of each sequence, whose logits are wanted.
  cases.push_back({.name = "index_select/d512",
                   .operands =
                       [=](Tokens n) {
                         return Operands().activation({n.batch * n.time, d}).ids({n.batch}, n.time);
                       },
                   .run = [](const Inputs& in) { return index_select(in[0], 0, in[1]); }});
}

}  // namespace vigor
