#include "autograd/node.h"

#include <algorithm>

#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {

SavedTensor::SavedTensor(Node* owner, const char* name) : owner_(owner), previous_(owner->last_saved_), name_(name) {
  owner->last_saved_ = this;
}

void SavedTensor::save(const Tensor& x) {
  if (!x.defined()) return;
  tensor_ = x.without_slot();
  version_ = x.storage()->version();
}

const Tensor& SavedTensor::get() const {
  if (owner_->released())
    throw std::logic_error(owner_->label() + ": its saved tensors were freed by an earlier backward");
  if (tensor_.defined() && tensor_.storage()->version() != version_)
    throw std::logic_error(
        fmt::format("{}: saved tensor '{}' was written in place after it was saved (version {}, saved at {})",
                    owner_->label(), name_, tensor_.storage()->version(), version_));
  return tensor_;
}

std::string Node::label() const { return fmt::format("{} #{}", name_, sequence_); }

namespace {
thread_local uint64_t t_sequence = 0;
// Nodes whose last owner is a dying node wait here, so that a long chain is destroyed by a loop and not by recursion.
thread_local std::vector<std::shared_ptr<Node>> t_dying;
thread_local bool t_destroying = false;
}  // namespace

uint64_t next_node_sequence() { return ++t_sequence; }

Node::~Node() {
  for (Edge& edge : edges_)
    if (edge.node != nullptr) t_dying.push_back(std::move(edge.node));
  if (t_destroying) return;
  t_destroying = true;
  while (!t_dying.empty()) {
    const std::shared_ptr<Node> next = std::move(t_dying.back());
    t_dying.pop_back();
  }
  t_destroying = false;
}

void Node::connect(const Tensor& input) {
  Edge edge;
  if (const Variable* v = variable_of(input)) {
    if (v->node != nullptr) {
      edge.node = v->node;
      edge.output = v->output;
    } else if (v->leaf_wanted) {
      edge.leaf = input;
    }
  }
  edges_.push_back(std::move(edge));
}

void Node::take_place() {
  sequence_ = next_node_sequence();
  region_ = RegionScope::current();
}

void Node::attach_one(const Tensor& result) {
  const int output = static_cast<int>(outputs_.size());
  if (!result.defined()) {
    outputs_.push_back({});
    return;
  }
  outputs_.push_back({result.shape(), result.dtype(), result.device(), {}});
  Variable& v = make_variable(result);
  v.node = shared_from_this();
  v.output = output;
}

void Node::attach(std::initializer_list<const Tensor*> results) {
  outputs_.reserve(results.size());
  for (const Tensor* result : results) attach_one(*result);
}

void Node::attach(std::span<const Tensor> results) {
  outputs_.reserve(results.size());
  for (const Tensor& result : results) attach_one(result);
}

std::vector<SavedTensor*> Node::saved() const {
  std::vector<SavedTensor*> all;
  for (SavedTensor* saved = last_saved_; saved != nullptr; saved = saved->previous_) all.push_back(saved);
  std::reverse(all.begin(), all.end());
  return all;
}

void Node::release() {
  for (SavedTensor* saved = last_saved_; saved != nullptr; saved = saved->previous_) saved->release();
  for (OutputInfo& output : outputs_) output.gradient = Tensor();
  released_ = true;
}

bool needs_graph(std::initializer_list<const Tensor*> inputs) {
  return grad_enabled() && std::any_of(inputs.begin(), inputs.end(), [](const Tensor* x) { return requires_grad(*x); });
}

bool needs_graph(std::span<const Tensor> inputs) {
  return grad_enabled() && std::any_of(inputs.begin(), inputs.end(), [](const Tensor& x) { return requires_grad(x); });
}

Backward::Backward(const Node& node, std::vector<Gradient>& gradients) : node_(node), gradients_(gradients) {
  gradients_.assign(node.edges().size(), Gradient());
}

Tensor Backward::grad_or_zeros(int output) const {
  const Tensor& g = grad(output);
  if (g.defined()) return g;
  const Node::OutputInfo& info = node_.outputs()[static_cast<size_t>(output)];
  return zeros(info.shape, info.dtype, info.device);
}

void Backward::set(int input, Tensor gradient) {
  gradients_[static_cast<size_t>(input)] = {std::move(gradient), false};
}

Backward::Target Backward::target(int input, const Shape& shape, Dtype dtype, Device device) {
  const Tensor& leaf = node_.edges()[static_cast<size_t>(input)].leaf;
  if (leaf.defined()) {
    Variable& v = *variable_of(leaf);
    if (v.gradient.defined() && v.gradient.is_contiguous() && v.gradient.shape() == shape &&
        v.gradient.dtype() == dtype) {
      const bool accumulate = !v.grad_is_zero;
      v.grad_is_zero = false;  // now: the same leaf may be asked for twice by one node
      return {v.gradient, accumulate, true};
    }
  }
  return {empty(shape, dtype, device), false, false};
}

void Backward::set(int input, const Target& target) {
  gradients_[static_cast<size_t>(input)] = {target.tensor, target.in_leaf};
}

}  // namespace vigor
