#include "autograd/variable.h"

#include "autograd/node.h"
#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {
thread_local bool t_grad_enabled = true;
}  // namespace

bool grad_enabled() { return t_grad_enabled; }
GradMode::GradMode(bool enabled) : before_(t_grad_enabled) { t_grad_enabled = enabled; }
GradMode::~GradMode() { t_grad_enabled = before_; }

Variable* variable_of(const Tensor& x) { return x.defined() ? static_cast<Variable*>(x.slot()) : nullptr; }

Variable& make_variable(const Tensor& x) {
  if (x.slot() == nullptr) x.set_slot(std::make_unique<Variable>());
  return *variable_of(x);
}

Tensor set_requires_grad(const Tensor& x, bool wanted) {
  if (wanted && !is_floating(x.dtype()))
    fail("set_requires_grad: only floating-point tensors have gradients; got {}", describe(x));
  Variable& v = make_variable(x);
  if (v.node != nullptr)
    throw std::logic_error("set_requires_grad: this tensor is the result of " + v.node->label() +
                           "; detach() it first");
  v.leaf_wanted = wanted;
  return x;
}

bool requires_grad(const Tensor& x) {
  const Variable* v = variable_of(x);
  return v != nullptr && (v->leaf_wanted || v->node != nullptr);
}

bool is_leaf(const Tensor& x) {
  const Variable* v = variable_of(x);
  return v == nullptr || v->node == nullptr;
}

Tensor grad(const Tensor& x) {
  const Variable* v = variable_of(x);
  return v != nullptr ? v->gradient : Tensor();
}

void zero_grad(const Tensor& x) {
  Variable* v = variable_of(x);
  if (v == nullptr) return;
  if (v->has_buffer) v->grad_is_zero = true;
  else v->gradient = Tensor();
}

void set_grad_buffer(const Tensor& x, const Tensor& buffer) {
  if (!(buffer.shape() == x.shape()) || buffer.dtype() != x.dtype() || !buffer.is_contiguous())
    fail("set_grad_buffer: the buffer must be contiguous with the tensor's shape and dtype; got {} for {}",
         describe(buffer), describe(x));
  Variable& v = make_variable(x);
  v.gradient = buffer;
  v.has_buffer = true;
  v.grad_is_zero = true;
}

void materialize_grad(const Tensor& x) {
  Variable* v = variable_of(x);
  if (v == nullptr || !v->grad_is_zero) return;
  fill(v->gradient, 0.0);
  v->grad_is_zero = false;
}

void set_name(const Tensor& x, std::string name) { make_variable(x).name = std::move(name); }

std::string name_of(const Tensor& x) {
  const Variable* v = variable_of(x);
  return v != nullptr ? v->name : std::string();
}

void on_grad_ready(const Tensor& x, std::function<void(const Tensor&)> hook) {
  make_variable(x).ready_hook = std::move(hook);
}

Tensor detach(const Tensor& x) { return x.without_slot(); }

}  // namespace vigor
