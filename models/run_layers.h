#pragma once
#include <memory>
#include <vector>

#include "autograd/recompute.h"
#include "nn/forward_context.h"

namespace vigor {

// x [B,T,d] through all layers of a model, one after the other; with context.recompute, each keeps only its input.
template <class Layer>
Tensor run_layers(const std::vector<std::unique_ptr<Layer>>& layers, Tensor x, const ForwardContext& context) {
  for (const auto& layer : layers) {
    const auto run = [block = layer.get(), context](const Tensor& input) { return block->forward(input, context); };
    x = context.recompute ? recompute(run, x) : run(x);
  }
  return x;
}

}  // namespace vigor
