#include "autograd/recompute.h"

#include <deque>

#include "autograd/engine.h"
#include "autograd/node.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct RecomputeNode : Node {
  RecomputeNode() : Node("recompute") {}

  Block block;
  std::deque<SavedTensor> inputs;  // a deque: SavedTensor cannot move

  void backward(Backward& b) override {
    std::vector<Tensor> leaves;
    for (size_t i = 0; i < inputs.size(); ++i) {
      leaves.push_back(inputs[i].defined() ? detach(inputs[i].get()) : Tensor());
      if (b.needs(static_cast<int>(i))) set_requires_grad(leaves.back());
    }
    std::vector<Tensor> results;
    {
      const GradMode recording(true);
      const PhaseScope phase(Phase::recompute);
      results = block(leaves);
    }
    std::vector<Tensor> gradients;
    for (size_t i = 0; i < results.size(); ++i) gradients.push_back(b.grad(static_cast<int>(i)));
    vigor::backward(results, gradients);
    for (size_t i = 0; i < leaves.size(); ++i)
      if (b.needs(static_cast<int>(i))) b.set(static_cast<int>(i), vigor::grad(leaves[i]));
  }
};

}  // namespace

std::vector<Tensor> recompute(Block block, std::span<const Tensor> inputs) {
  if (!grad_enabled()) return block(inputs);
  std::vector<Tensor> results;
  {
    const NoGrad no_grad;
    std::vector<Tensor> plain;
    for (const Tensor& input : inputs) plain.push_back(input.defined() ? detach(input) : Tensor());
    results = block(plain);
  }
  // Parameters inside the block want gradients even when no input does, so the node is always made; an anchor that
  // requires a gradient keeps it in the graph.
  static thread_local const Tensor anchor = set_requires_grad(zeros({1}));
  std::vector<Tensor> edges(inputs.begin(), inputs.end());
  edges.push_back(anchor);
  auto node = record<RecomputeNode>(std::span<const Tensor>(edges));
  node->block = std::move(block);
  for (const Tensor& input : inputs) node->inputs.emplace_back(node.get(), "input").save(input);
  node->attach(std::span<const Tensor>(results));
  return results;
}

Tensor recompute(std::function<Tensor(const Tensor&)> block, const Tensor& input) {
  return recompute([block = std::move(block)](std::span<const Tensor> in) { return std::vector<Tensor>{block(in[0])}; },
                   std::span(&input, 1))[0];
}

}  // namespace vigor
