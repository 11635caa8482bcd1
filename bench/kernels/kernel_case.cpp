#include "bench/kernels/kernel_case.h"

namespace vigor {
namespace {

// A different sequence of random numbers for every operand.
RandomKey key_of(const std::vector<Operands::Operand>& list) {
  return {1, RandomStream::init, static_cast<uint32_t>(list.size()), 0};
}

}  // namespace

Operands& Operands::add(const Tensor& values, Role role) {
  list_.push_back({values, role});
  return *this;
}

Operands& Operands::activation(const Shape& sizes, double stddev) {
  return add(normal(sizes, 0, stddev, key_of(list_)), Role::activation);
}

Operands& Operands::activation(const Shape& sizes, double low, double high) {
  return add(uniform(sizes, low, high, key_of(list_)), Role::activation);
}

Operands& Operands::weight(const Shape& sizes, double stddev) {
  return add(normal(sizes, 0, stddev, key_of(list_)), Role::weight);
}

Operands& Operands::full_weight(const Shape& sizes, double low, double high) {
  return add(uniform(sizes, low, high, key_of(list_)), Role::full_weight);
}

Operands& Operands::ids(const Shape& sizes, int64_t bound) {
  const Tensor ids = empty(sizes, Dtype::i32);
  for (int64_t i = 0; i < ids.numel(); ++i) {
    const double u = random_uniform(key_of(list_), static_cast<uint64_t>(i));
    ids.data<int32_t>()[i] = static_cast<int32_t>(u * u * u * static_cast<double>(bound));
  }
  return add(ids, Role::constant);
}

I3Config i3_preset(const std::string& name) { return dynamic_cast<const I3Config&>(*I3Config::preset(name)); }

FalconH1Config falcon_preset(const std::string& name) {
  return dynamic_cast<const FalconH1Config&>(*FalconH1Config::preset(name));
}

}  // namespace vigor
