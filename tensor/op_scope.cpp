#include "tensor/op_scope.h"

#include <fmt/core.h>

#include <algorithm>
#include <mutex>
#include <unordered_set>

namespace vigor {
namespace {

// The one copy of a region's name. It is never freed: nodes and recorded events point to it.
Region intern(std::string name) {
  static std::mutex mutex;
  static auto& names = *new std::unordered_set<std::string>;
  const std::lock_guard lock(mutex);
  return &*names.insert(std::move(name)).first;
}

}  // namespace

const char* name_of(Phase phase) {
  constexpr const char* kNames[kPhaseCount] = {"other", "data", "forward", "backward", "recompute", "optimizer"};
  return kNames[static_cast<int>(phase)];
}

void RegionScope::enter(std::string_view name) { innermost = intern(std::string(name)); }
void RegionScope::enter(std::string_view name, int64_t index) { innermost = intern(fmt::format("{}.{}", name, index)); }

void OpScope::begin(const char* name, std::initializer_list<const Tensor*> inputs, double flops, double nbytes) {
  const size_t count = std::min(inputs.size(), kMaxInputs);
  std::copy_n(inputs.begin(), count, inputs_);
  record_ = {name, {inputs_, count}, flops, nbytes, {}, PhaseScope::current(), RegionScope::current()};
  announce();
}

void OpScope::begin(const Primitive& primitive, std::initializer_list<const TensorView*> operands) {
  const size_t count = std::min(operands.size(), kMaxViews);
  std::copy_n(operands.begin(), count, views_);
  record_ = {primitive.name,        {}, primitive.flops, primitive.nbytes, {views_, count}, PhaseScope::current(),
             RegionScope::current()};
  announce();
}

void OpScope::announce() {
  heard_ = true;
  ++open;
  for (auto* scope = OpListenerScope::innermost; scope != nullptr; scope = scope->outer_)
    scope->listener_->begin(record_);
}

void OpScope::end(std::span<const Tensor* const> outputs) {
  heard_ = false;  // first: a listener may throw
  --open;
  for (auto* scope = OpListenerScope::innermost; scope != nullptr; scope = scope->outer_)
    scope->listener_->end(record_, outputs);
}

}  // namespace vigor
