#include "models/hybrid/mup.h"

#include "tensor/primitives.h"
#include "tensor/tensor.h"

namespace vigor {

bool is_hidden_matrix(const std::string& name, const Shape& sizes) {
  return sizes.rank() == 2 && (name.ends_with(".weight") || name.ends_with(".B"));
}

Initializer scaled_init(Initializer init, double factor) {
  return [init = std::move(init), factor](const TensorView& parameter, const RandomKey& key) {
    init(parameter, key);
    const Tensor values = empty(parameter.sizes, Dtype::f64);
    copy(values, parameter);
    double* const v = values.data<double>();
    for (int64_t i = 0; i < values.numel(); ++i) v[i] *= factor;
    copy(parameter, values);
  };
}

}  // namespace vigor
