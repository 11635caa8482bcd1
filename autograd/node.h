#pragma once
// The recorded graph. Every differentiable operation makes one Node: its name, edges to where its inputs came from, the
// tensors it saved, and backward(). Nodes are named structs, not closures, so that the graph can be listed, measured
// and drawn, and a stack trace names the operation.
//
//   struct ScaleNode : Node {                                   // y = x * s
//     ScaleNode() : Node("scale") {}
//     SavedTensor x{this, "x"}, s{this, "s"};
//     void backward(Backward& b) override {
//       if (b.needs(0)) b.set(0, scale_kernel(b.grad(), s.get()));
//       if (b.needs(1)) b.set(1, dot_kernel(b.grad(), x.get()));
//     }
//   };
//   Tensor scale(const Tensor& x, const Tensor& s) {
//     ...checks, y = kernel(x, s)...
//     if (auto node = record<ScaleNode>({&x, &s})) {            // null when nothing wants a gradient
//       node->x.save(x);  node->s.save(s);
//       node->attach({&y});
//     }
//     return y;
//   }
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "autograd/variable.h"
#include "tensor/op_scope.h"
#include "tensor/tensor.h"

namespace vigor {

class Backward;
class Node;

// A tensor kept for backward. Stored without its slot, so saving a result makes no cycle; the version is checked when
// it is read, so a tensor written in place since then is an error and not a wrong gradient.
class SavedTensor {
 public:
  SavedTensor(Node* owner, const char* name);
  SavedTensor(const SavedTensor&) = delete;
  SavedTensor& operator=(const SavedTensor&) = delete;

  void save(const Tensor& x);  // undefined tensors are fine
  const Tensor& get() const;   // throws std::logic_error if written since, or released
  bool defined() const { return tensor_.defined(); }
  const char* name() const { return name_; }
  const Tensor& peek() const { return tensor_; }  // for reports: no checks
  void release() { tensor_ = Tensor(); }

 private:
  friend class Node;
  const Node* owner_;
  SavedTensor* previous_;  // of the same node: a list that needs no memory of its own
  const char* name_;
  Tensor tensor_;
  uint32_t version_ = 0;
};

// Where the gradient of one input goes: into an output of the node that made it, into a leaf, or nowhere.
struct Edge {
  std::shared_ptr<Node> node;
  int output = 0;
  Tensor leaf;
  bool wanted() const { return node != nullptr || leaf.defined(); }
};

class Node : public std::enable_shared_from_this<Node> {
 public:
  explicit Node(const char* name) : name_(name) {}
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Reads b.grad(i) of the outputs and sets the gradients of the inputs that b.needs(). Runs without recording.
  virtual void backward(Backward& b) = 0;

  const char* name() const { return name_; }
  std::string label() const;                       // name and number, for messages: "linear #41"
  uint64_t sequence() const { return sequence_; }  // creation order: inputs come before the results they are used for
  const std::vector<Edge>& edges() const { return edges_; }
  std::vector<SavedTensor*> saved() const;  // in the order of declaration; for reports
  struct OutputInfo {
    Shape shape;
    Dtype dtype;
    Device device;
    Tensor gradient;  // what the engine's run has collected so far
  };
  const std::vector<OutputInfo>& outputs() const { return outputs_; }
  bool released() const { return released_; }

  // Makes this node the origin of the results, output i for the i-th. Undefined results are skipped.
  void attach(std::initializer_list<const Tensor*> results);
  void attach(std::span<const Tensor> results);

 private:
  friend class SavedTensor;
  friend class Engine;
  template <class N, class... Args>
  friend std::shared_ptr<N> record(std::initializer_list<const Tensor*> inputs, Args&&... args);
  template <class N, class... Args>
  friend std::shared_ptr<N> record(std::span<const Tensor> inputs, Args&&... args);

  void connect(const Tensor& input);
  void take_place();  // in the order of creation and in the model
  void attach_one(const Tensor& result);
  void release();

  const char* name_;
  uint64_t sequence_ = 0;
  Region region_ = nullptr;  // the part of the model that recorded it, which its backward belongs to as well
  std::vector<Edge> edges_;
  SavedTensor* last_saved_ = nullptr;
  std::vector<OutputInfo> outputs_;
  bool released_ = false;
  // The engine's notes for the run that reached this node last.
  uint64_t visited_ = 0;
  int pending_ = 0;
};

// True when recording is on and one of the inputs wants a gradient.
bool needs_graph(std::initializer_list<const Tensor*> inputs);
bool needs_graph(std::span<const Tensor> inputs);
uint64_t next_node_sequence();

// Makes the node of an operation with edges to `inputs` (input i of backward is the i-th; undefined inputs keep their
// place), or returns null when nothing wants a gradient.
template <class N, class... Args>
std::shared_ptr<N> record(std::initializer_list<const Tensor*> inputs, Args&&... args) {
  if (!needs_graph(inputs)) return nullptr;
  auto node = std::make_shared<N>(std::forward<Args>(args)...);
  node->edges_.reserve(inputs.size());
  for (const Tensor* input : inputs) node->connect(*input);
  node->take_place();
  return node;
}
template <class N, class... Args>
std::shared_ptr<N> record(std::span<const Tensor> inputs, Args&&... args) {
  if (!needs_graph(inputs)) return nullptr;
  auto node = std::make_shared<N>(std::forward<Args>(args)...);
  node->edges_.reserve(inputs.size());
  for (const Tensor& input : inputs) node->connect(input);
  node->take_place();
  return node;
}

// What backward() reads and writes.
class Backward {
 public:
  struct Gradient {
    Tensor tensor;
    bool in_leaf = false;
  };
  // `gradients` receives one for each input.
  Backward(const Node& node, std::vector<Gradient>& gradients);

  // d loss / d output i; undefined when no gradient reached that output.
  const Tensor& grad(int output = 0) const { return node_.outputs()[static_cast<size_t>(output)].gradient; }
  Tensor grad_or_zeros(int output) const;
  bool needs(int input) const { return node_.edges()[static_cast<size_t>(input)].wanted(); }

  // The gradient of an input, of the input's shape and dtype. May alias grad(): the engine copies before it adds.
  void set(int input, Tensor gradient);

  // Memory to compute a gradient into, contiguous. For a leaf with a gradient buffer it is that buffer, and with
  // `accumulate` the kernel must add to it (a GEMM with beta = 1); otherwise it is new and is overwritten.
  struct Target {
    Tensor tensor;
    bool accumulate = false;
    bool in_leaf = false;  // already in place: set() has nothing left to add
  };
  Target target(int input, const Shape& shape, Dtype dtype, Device device = kCpu);
  void set(int input, const Target& target);

  std::vector<Gradient>& gradients() { return gradients_; }

 private:
  const Node& node_;
  std::vector<Gradient>& gradients_;
};

}  // namespace vigor
