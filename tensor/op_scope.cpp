#include "tensor/op_scope.h"

#include <algorithm>

namespace vigor {

void OpScope::begin(const char* name, std::initializer_list<const Tensor*> inputs, double flops, double nbytes) {
  heard_ = true;
  const size_t count = std::min(inputs.size(), kMaxInputs);
  std::copy_n(inputs.begin(), count, inputs_);
  record_ = {name, {inputs_, count}, flops, nbytes};
  for (auto* scope = OpListenerScope::innermost; scope != nullptr; scope = scope->outer_)
    scope->listener_->begin(record_);
}

void OpScope::end(std::span<const Tensor* const> outputs) {
  heard_ = false;  // first: a listener may throw
  for (auto* scope = OpListenerScope::innermost; scope != nullptr; scope = scope->outer_)
    scope->listener_->end(record_, outputs);
}

}  // namespace vigor
