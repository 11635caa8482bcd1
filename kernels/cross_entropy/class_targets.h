#pragma once
#include "tensor/tensor.h"

namespace vigor {

struct ClassTargets {
  Tensor ids;           // [N] i64, contiguous
  int64_t counted = 0;  // those that are not ignore_index
};

// Targets [tokens], i32 or i64, as contiguous i64 on their device. Throws std::invalid_argument naming `op` for another
// shape or dtype.
Tensor class_ids(const char* op, const Tensor& targets, int64_t tokens);

// For targets in host memory: class_ids(), and also checks them against the number of classes. Throws
// std::invalid_argument naming `op` and the first index that does not fit.
ClassTargets class_targets(const char* op, const Tensor& targets, int64_t tokens, int64_t classes,
                           int64_t ignore_index);

}  // namespace vigor
