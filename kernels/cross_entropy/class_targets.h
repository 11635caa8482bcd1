#pragma once
#include "tensor/tensor.h"

namespace vigor {

struct ClassTargets {
  Tensor ids;     // [N] i64, contiguous
  Tensor weight;  // [] f64: 1 / the number of those that are not ignore_index; 0 when there is none
};

// Targets [tokens], i32 or i64, as the launchers take them, on `device`. Throws std::invalid_argument naming `op` for
// another shape, dtype or device, and on a CPU for the first target that is neither a class nor ignore_index: a GPU
// cannot tell without being waited for.
ClassTargets class_targets(const char* op, const Tensor& targets, int64_t tokens, int64_t classes, int64_t ignore_index,
                           Device device);

}  // namespace vigor
