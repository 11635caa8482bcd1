#pragma once
// How parameters start. The random numbers of a parameter are a function of the run's seed and the parameter's full
// name, so neither the order of construction nor a new layer elsewhere changes them.
#include <functional>

#include "tensor/philox.h"
#include "tensor/view.h"

namespace vigor {

// Writes the initial values of one parameter, of any floating dtype.
using Initializer = std::function<void(const TensorView& parameter, const RandomKey& key)>;

Initializer normal_init(double stddev);  // N(0, stddev^2)
Initializer constant_init(double value);

inline constexpr double kLinearStddev = 0.02;  // of Linear and Embedding weights in both model families

}  // namespace vigor
