#pragma once
// What autograd knows about a tensor: whether gradients are wanted, the gradient, and where the tensor came from.
// Free functions on Tensor; there is no second tensor type.
#include <functional>
#include <memory>
#include <string>

#include "tensor/tensor.h"

namespace vigor {

class Node;

// ---- leaves: tensors made by the user or a module ----
// Marks `x` as a leaf whose gradient backward() computes; returns x. Floating dtypes only (std::invalid_argument);
// a result of an operation cannot become a leaf (std::logic_error): detach() it first.
Tensor set_requires_grad(const Tensor& x, bool wanted = true);
// True for leaves marked so and for results that depend on one.
bool requires_grad(const Tensor& x);
bool is_leaf(const Tensor& x);
// d loss / d x, of x's shape and dtype; undefined before the first backward().
Tensor grad(const Tensor& x);
// Forgets the gradient. A buffer given by set_grad_buffer stays and counts as zero: the next backward overwrites it.
void zero_grad(const Tensor& x);
// Gives the leaf the memory its gradient goes to (a view of an arena). Counts as zero until backward writes it.
void set_grad_buffer(const Tensor& x, const Tensor& buffer);
// A buffer that no backward has written since zero_grad() holds old numbers: fills it with zeros.
void materialize_grad(const Tensor& x);
// The name shown in errors, graphs and reports; modules set their parameter paths.
void set_name(const Tensor& x, std::string name);
std::string name_of(const Tensor& x);  // "" if none
// Called with the gradient of leaf `x` once it is complete in a backward(), leaves in a fixed order. A recomputed block
// runs a backward() of its own.
void on_grad_ready(const Tensor& x, std::function<void(const Tensor& gradient)> hook);

// The same elements as a leaf without history.
Tensor detach(const Tensor& x);

// ---- recording on or off, for this thread ----
bool grad_enabled();
class GradMode {
 public:
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};
struct NoGrad : GradMode {
  NoGrad() : GradMode(false) {}
};

// ---- the slot itself; for the engine ----
struct Variable : AutogradSlot {
  bool leaf_wanted = false;   // a leaf that wants a gradient
  bool has_buffer = false;    // `gradient` is the memory of set_grad_buffer, and
  bool grad_is_zero = false;  // `gradient` is a buffer with old contents that count as zero
  int pending = 0;            // engine: contributions still to come in this backward
  uint64_t visited = 0;       // engine: the run that counted `pending`
  Tensor gradient;
  std::string name;
  std::function<void(const Tensor&)> ready_hook;
  std::shared_ptr<Node> node;  // the operation that made this tensor, and
  int output = 0;              // which of its outputs it is
};
Variable* variable_of(const Tensor& x);    // nullptr when x has no slot
Variable& make_variable(const Tensor& x);  // creates the slot if needed

}  // namespace vigor
