#pragma once
#include <memory>
#include <vector>

#include "autograd/recompute.h"
#include "kernels/cast/cast.h"
#include "nn/forward_context.h"
#include "tensor/op_scope.h"

namespace vigor {

// x [B,T,d] through all layers of a model, one after the other; with context.recompute, each keeps only its input.
// Every operation gives the dtype that it is given, so one conversion at the start makes all activations bf16.
template <class Layer>
Tensor run_layers(const std::vector<std::unique_ptr<Layer>>& layers, Tensor x, const ForwardContext& context) {
  if (context.bf16_activations) x = cast(x, Dtype::bf16);
  for (size_t i = 0; i < layers.size(); ++i) {
    const RegionScope region("layers", static_cast<int64_t>(i));
    const auto run = [block = layers[i].get(), context](const Tensor& input) { return block->forward(input, context); };
    x = context.recompute ? recompute(run, x) : run(x);
  }
  return x;
}

}  // namespace vigor
