#include "nn/module.h"

#include <fmt/core.h>

#include <stdexcept>

namespace vigor {

void Module::require_new(const std::string& name) const {
  bool taken = name.empty();
  for (const NamedParameter& parameter : parameters_) taken |= parameter.name == name;
  for (const NamedBuffer& buffer : buffers_) taken |= buffer.name == name;
  for (const Child& child : children_) taken |= child.name == name;
  if (taken) throw std::logic_error(fmt::format("module: names must be new and not empty; got \"{}\"", name));
}

void Module::add_parameter(std::string name, Tensor& tensor, const Shape& sizes, Initializer init,
                           ParameterPrecision precision) {
  require_new(name);
  parameters_.push_back({std::move(name), &tensor, sizes, std::move(init), precision});
}

void Module::add_buffer(std::string name, Tensor& tensor) {
  require_new(name);
  buffers_.push_back({std::move(name), &tensor});
}

void Module::add_child(std::string name, Module& child) {
  require_new(name);
  children_.push_back({std::move(name), &child});
}

void Module::collect(const std::string& prefix, std::vector<NamedParameter>* parameters,
                     std::vector<NamedBuffer>* buffers) const {
  if (parameters != nullptr) {
    for (const NamedParameter& own : parameters_) {
      parameters->push_back(own);
      parameters->back().name = prefix + own.name;
    }
  }
  if (buffers != nullptr)
    for (const NamedBuffer& own : buffers_) buffers->push_back({prefix + own.name, own.tensor});
  for (const Child& child : children_) child.module->collect(prefix + child.name + ".", parameters, buffers);
}

std::vector<NamedParameter> Module::named_parameters() const {
  std::vector<NamedParameter> parameters;
  collect("", &parameters, nullptr);
  return parameters;
}

std::vector<NamedBuffer> Module::named_buffers() const {
  std::vector<NamedBuffer> buffers;
  collect("", nullptr, &buffers);
  return buffers;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const NamedParameter& parameter : named_parameters()) count += parameter.sizes.numel();
  return count;
}

}  // namespace vigor
