#include "nn/parameter_arena.h"

#include <fmt/core.h>

#include <stdexcept>

#include "autograd/variable.h"
#include "tensor/check.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

constexpr int64_t kAlignment = 64;  // bytes: a cache line, and the widest vector

int64_t padded(int64_t numel, Dtype dtype) {
  const int64_t step = kAlignment / static_cast<int64_t>(size_of(dtype));
  return (numel + step - 1) / step * step;
}

// Elements `offset`.. of a flat tensor under `sizes`, sharing its memory.
Tensor window(const Tensor& flat, int64_t offset, const Shape& sizes) {
  return Tensor(flat.storage(), flat.offset() + offset, sizes, contiguous_strides(sizes), flat.dtype());
}

}  // namespace

Tensor ArenaSlot::part_of(const Tensor& whole) const { return window(whole, offset, tensor.shape()); }

std::string ArenaGroup::describe_element(int64_t offset) const {
  for (const ArenaSlot& slot : slots) {
    if (offset < slot.offset || offset >= slot.offset + slot.tensor.numel()) continue;
    int64_t rest = offset - slot.offset;
    std::string index;
    for (int dim = slot.tensor.rank() - 1; dim >= 0; --dim) {
      const int64_t size = slot.tensor.size(dim);
      index = fmt::format("{}{}{}", rest % size, index.empty() ? "" : ",", index);
      rest /= size;
    }
    return fmt::format("{}[{}]", slot.name, index);
  }
  return fmt::format("padding at {}", offset);
}

ParameterArena::ParameterArena(Module& root, const ArenaOptions& options) {
  const std::vector<NamedParameter> named = root.named_parameters();
  std::vector<size_t> group_index;  // of each parameter
  std::vector<int64_t> sizes;       // of each group, in elements, gaps included
  for (const NamedParameter& parameter : named) {
    if (parameter.tensor->defined())
      throw std::logic_error(fmt::format("parameter arena: {} already has memory", parameter.name));
    if (!index_.emplace(parameter.name, index_.size()).second)
      throw std::logic_error(fmt::format("parameter arena: two parameters are called {}", parameter.name));
    const int number = options.group_of ? options.group_of(parameter.name, parameter.sizes) : 0;
    const bool keeps_f32 = options.dtype == Dtype::bf16 && parameter.precision == ParameterPrecision::full;
    const Dtype dtype = keeps_f32 ? Dtype::f32 : options.dtype;
    size_t g = 0;
    while (g < groups_.size() && !(groups_[g].group == number && groups_[g].dtype == dtype)) ++g;
    if (g == groups_.size()) {
      groups_.push_back({number, dtype, {}, {}, {}});
      sizes.push_back(0);
    }
    group_index.push_back(g);
    groups_[g].slots.push_back({parameter.name, sizes[g], {}});
    sizes[g] += padded(parameter.sizes.numel(), dtype);
  }
  for (size_t g = 0; g < groups_.size(); ++g) groups_[g].values = zeros({sizes[g]}, groups_[g].dtype, options.device);

  std::vector<size_t> next(groups_.size(), 0);
  for (size_t i = 0; i < named.size(); ++i) {
    ArenaGroup& group = groups_[group_index[i]];
    ArenaSlot& slot = group.slots[next[group_index[i]]++];
    slot.tensor = window(group.values, slot.offset, named[i].sizes);
    set_requires_grad(slot.tensor);
    set_name(slot.tensor, slot.name);
    *named[i].tensor = slot.tensor;
    parameters_.push_back(slot);
    initializers_.push_back(named[i].init);
  }
}

void ParameterArena::initialize(uint64_t seed) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const RandomKey key{seed, RandomStream::init, salt_of(parameters_[i].name), 0};
    // On the host, whatever the device: the same seed starts the same model everywhere.
    const Tensor& parameter = parameters_[i].tensor;
    const Tensor values = parameter.device().is_cpu() ? parameter : empty(parameter.shape(), parameter.dtype());
    initializers_[i](values.view(), key);
    if (!parameter.device().is_cpu()) copy(parameter, values);
    parameter.storage()->bump_version();
  }
}

const Tensor* ParameterArena::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &parameters_[found->second].tensor;
}

void ParameterArena::allocate_gradients() {
  if (has_gradients()) return;
  for (ArenaGroup& group : groups_) {
    group.gradients = zeros_like(group.values);
    for (const ArenaSlot& slot : group.slots) set_grad_buffer(slot.tensor, slot.part_of(group.gradients));
  }
}

bool ParameterArena::has_gradients() const { return !groups_.empty() && groups_[0].gradients.defined(); }

void ParameterArena::zero_gradients() {
  for (const ArenaSlot& slot : parameters_) zero_grad(slot.tensor);
}

void ParameterArena::complete_gradients() {
  for (const ArenaSlot& slot : parameters_) materialize_grad(slot.tensor);
}

}  // namespace vigor
