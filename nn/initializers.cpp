#include "nn/initializers.h"

#include "tensor/primitives.h"

namespace vigor {

Initializer normal_init(double stddev) {
  return [stddev](const TensorView& parameter, const RandomKey& key) { fill_normal(parameter, 0.0, stddev, key); };
}

Initializer constant_init(double value) {
  return [value](const TensorView& parameter, const RandomKey&) { fill(parameter, value); };
}

}  // namespace vigor
