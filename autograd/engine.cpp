#include "autograd/engine.h"

#include <algorithm>
#include <queue>

#include "autograd/anomaly.h"
#include "autograd/node.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {

class Engine {
 public:
  void run(std::span<const Tensor> roots, std::span<const Tensor> gradients);

 private:
  void count_dependencies(Node* root);
  void deliver(const Edge& edge, Backward::Gradient&& gradient);
  void arrived(const Edge& edge);
  static void add_to_slot(Tensor& slot, Tensor&& gradient);
  static void add_to_leaf(const Tensor& leaf, Tensor&& gradient);
  static void check_like_input(const Node& node, int input, const Tensor& gradient);
  void run_node(Node& node);

  struct LaterCreated {
    bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
      return a->sequence() < b->sequence();
    }
  };
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, LaterCreated> ready_;
  std::vector<Node*> to_visit_;
  std::vector<Backward::Gradient> gradients_;  // of the inputs of the node that runs
  // Leaves counted by this run with the notes of the run around it (a recomputed block runs inside a backward).
  struct LeafNotes {
    Tensor leaf;
    uint64_t visited;
    int pending;
  };
  std::vector<LeafNotes> leaves_;
  uint64_t run_ = next_node_sequence();  // unique, so that notes of earlier runs are recognised as old
};

// Counts, for every node and leaf reachable from `root`, how many gradients it will receive in this run.
void Engine::count_dependencies(Node* root) {
  if (root->visited_ == run_) return;
  root->visited_ = run_;
  root->pending_ = 0;
  to_visit_.push_back(root);
  while (!to_visit_.empty()) {
    Node* node = to_visit_.back();
    to_visit_.pop_back();
    if (node->released_)
      throw std::logic_error(node->label() +
                             ": backward already ran through this graph and freed it; run the forward again");
    for (Node::OutputInfo& output : node->outputs_) output.gradient = Tensor();  // of a run that an exception ended
    for (const Edge& edge : node->edges_) {
      if (edge.node != nullptr) {
        if (edge.node->visited_ != run_) {
          edge.node->visited_ = run_;
          edge.node->pending_ = 0;
          to_visit_.push_back(edge.node.get());
        }
        ++edge.node->pending_;
      } else if (edge.leaf.defined()) {
        Variable& v = *variable_of(edge.leaf);
        if (v.visited != run_) {
          leaves_.push_back({edge.leaf, v.visited, v.pending});
          v.visited = run_;
          v.pending = 0;
        }
        ++v.pending;
      }
    }
  }
}

void Engine::add_to_slot(Tensor& slot, Tensor&& gradient) {
  if (!slot.defined()) {
    slot = std::move(gradient);
  } else if (slot.is_sole_owner() && slot.is_contiguous()) {
    accumulate(slot, gradient);
  } else {  // somebody else still reads these elements
    slot = clone(slot);
    accumulate(slot, gradient);
  }
}

void Engine::add_to_leaf(const Tensor& leaf, Tensor&& gradient) {
  Variable& v = *variable_of(leaf);
  if (!v.gradient.defined()) {
    v.gradient = gradient.is_sole_owner() && gradient.is_contiguous() ? std::move(gradient) : clone(gradient);
  } else if (v.grad_is_zero) {
    copy(v.gradient, gradient);
  } else {
    accumulate(v.gradient, gradient);
  }
  v.grad_is_zero = false;
}

// Notes that one of the awaited gradients has been dealt with (also when it turned out to be none).
void Engine::arrived(const Edge& edge) {
  if (edge.node != nullptr) {
    if (--edge.node->pending_ == 0) ready_.push(edge.node);
  } else if (edge.leaf.defined()) {
    Variable& v = *variable_of(edge.leaf);
    if (--v.pending == 0 && v.ready_hook && v.gradient.defined()) v.ready_hook(v.gradient);
  }
}

void Engine::deliver(const Edge& edge, Backward::Gradient&& gradient) {
  if (gradient.tensor.defined() && !gradient.in_leaf) {
    if (edge.node != nullptr) {
      add_to_slot(edge.node->outputs_[static_cast<size_t>(edge.output)].gradient, std::move(gradient.tensor));
    } else if (edge.leaf.defined()) {
      add_to_leaf(edge.leaf, std::move(gradient.tensor));
    }
  }
  arrived(edge);
}

// A gradient must have the shape and dtype of its input, whether an operation made that or it is a leaf.
void Engine::check_like_input(const Node& node, int input, const Tensor& gradient) {
  const Edge& edge = node.edges_[static_cast<size_t>(input)];
  const auto check_like = [&](const Shape& shape, Dtype dtype) {
    if (!(gradient.shape() == shape) || gradient.dtype() != dtype)
      throw std::logic_error(fmt::format("{}: gradient of input {} is {}, the input is {} {}", node.label(), input,
                                         describe(gradient), to_string(shape), name_of(dtype)));
  };
  if (edge.node != nullptr) {
    const Node::OutputInfo& made = edge.node->outputs_[static_cast<size_t>(edge.output)];
    check_like(made.shape, made.dtype);
  } else {
    check_like(edge.leaf.shape(), edge.leaf.dtype());
  }
}

void Engine::run_node(Node& node) {
  const RegionScope region(node.region_);
  Backward b(node, gradients_);
  const bool any = std::any_of(node.outputs_.begin(), node.outputs_.end(),
                               [](const Node::OutputInfo& output) { return output.gradient.defined(); });
  if (any) {
    node.backward(b);
    if (anomaly_mode()) check_gradients(node, b);
  }
  node.release();
  for (size_t i = 0; i < node.edges_.size(); ++i) {
    const Edge& edge = node.edges_[i];
    const Tensor& g = gradients_[i].tensor;
    if (edge.wanted() && g.defined()) check_like_input(node, static_cast<int>(i), g);
    deliver(edge, std::move(gradients_[i]));
  }
}

void Engine::run(std::span<const Tensor> roots, std::span<const Tensor> gradients) {
  const NoGrad no_grad;
  const PhaseScope phase(Phase::backward);
  for (const Tensor& root : roots) {
    const Variable* v = variable_of(root);
    if (v != nullptr && v->node != nullptr) count_dependencies(v->node.get());
  }
  // A root's own gradient is one more contribution to wait for; all are seeded before any node runs.
  std::vector<Edge> seeded;
  for (size_t i = 0; i < roots.size(); ++i) {
    const Variable* v = variable_of(roots[i]);
    if (v == nullptr || !gradients[i].defined()) continue;
    if (v->node != nullptr) {
      ++v->node->pending_;
      seeded.push_back({v->node, v->output, {}});
      add_to_slot(v->node->outputs_[static_cast<size_t>(v->output)].gradient, Tensor(gradients[i]));
    } else if (v->leaf_wanted) {
      add_to_leaf(roots[i], Tensor(gradients[i]));
    }
  }
  // Roots that are counted but got no gradient would never become ready otherwise.
  for (const Tensor& root : roots) {
    const Variable* v = variable_of(root);
    if (v != nullptr && v->node != nullptr && v->node->pending_ == 0) {
      ++v->node->pending_;
      seeded.push_back({v->node, v->output, {}});
    }
  }
  for (const Edge& edge : seeded) arrived(edge);
  while (!ready_.empty()) {
    const std::shared_ptr<Node> node = ready_.top();
    ready_.pop();
    run_node(*node);
  }
  for (const LeafNotes& notes : leaves_) {
    variable_of(notes.leaf)->visited = notes.visited;
    variable_of(notes.leaf)->pending = notes.pending;
  }
}

void backward(const Tensor& loss) {
  if (!loss.defined() || loss.numel() != 1)
    fail("backward: the loss must have exactly one element; got {}", describe(loss));
  if (!requires_grad(loss))
    throw std::logic_error("backward: nothing that the loss depends on requires a gradient, or recording was off");
  const Tensor one = full(loss.shape(), 1.0, loss.dtype(), loss.device());
  backward(std::span(&loss, 1), std::span(&one, 1));
}

void backward(std::span<const Tensor> roots, std::span<const Tensor> gradients) {
  check(roots.size() == gradients.size(), "backward: {} roots with {} gradients", roots.size(), gradients.size());
  for (size_t i = 0; i < roots.size(); ++i)
    if (gradients[i].defined() &&
        (!(gradients[i].shape() == roots[i].shape()) || gradients[i].dtype() != roots[i].dtype()))
      fail("backward: gradient {} must be like its root {}; got {}", i, describe(roots[i]), describe(gradients[i]));
  Engine().run(roots, gradients);
}

}  // namespace vigor
