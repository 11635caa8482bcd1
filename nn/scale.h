#pragma once
#include "kernels/elementwise/elementwise.h"

namespace vigor {

// x times a multiplier of the configuration. Most are 1 in most models, and then this costs nothing.
inline Tensor scaled(const Tensor& x, double multiplier) { return multiplier == 1 ? x : mul(x, multiplier); }

}  // namespace vigor
