#pragma once
// Starting values of recurrences: not random matrices but a spread of time scales.
#include "nn/initializers.h"

namespace vigor {

// Element i of the parameter, in row-major order, is value(i, u) with u uniform in [0, 1).
Initializer element_init(std::function<double(int64_t i, double u)> value);

// Uniform in [-bound, bound).
Initializer uniform_init(double bound);
// softplus of it is log-uniform in [low, high]: the step sizes of Mamba, whose biases these are.
Initializer step_bias_init(double low, double high);
// Every row is log(1), log(2), .. log(columns): the A_log of Mamba, decay rates of 1, 2, .. a unit of time.
Initializer log_range_rows_init(int64_t columns);

}  // namespace vigor
