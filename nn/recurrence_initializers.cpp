#include "nn/recurrence_initializers.h"

#include <cmath>

#include "tensor/primitives.h"
#include "tensor/tensor.h"

namespace vigor {

Initializer element_init(std::function<double(int64_t i, double u)> value) {
  return [value = std::move(value)](const TensorView& parameter, const RandomKey& key) {
    const Tensor values = uniform(parameter.sizes, 0, 1, key, Dtype::f64);
    double* elements = values.data<double>();
    for (int64_t i = 0; i < values.numel(); ++i) elements[i] = value(i, elements[i]);
    copy(parameter, values);
  };
}

Initializer uniform_init(double bound) {
  return [bound](const TensorView& parameter, const RandomKey& key) { fill_uniform(parameter, -bound, bound, key); };
}

Initializer step_bias_init(double low, double high) {
  return element_init([=](int64_t, double u) {
    const double step = std::exp(std::log(low) + u * (std::log(high) - std::log(low)));
    return step + std::log(-std::expm1(-step));  // log(exp(step) - 1), which loses nothing for small steps
  });
}

Initializer log_range_rows_init(int64_t columns) {
  return element_init([columns](int64_t i, double) { return std::log(static_cast<double>(i % columns + 1)); });
}

}  // namespace vigor
