#pragma once
#include "nn/module.h"

namespace vigor {

// A table of rows, one a token id or position: ids [...] i32 or i64 -> y [..., C].
// Parameters: `weight [rows,C]` N(0, stddev^2).
class Embedding : public Module {
 public:
  Embedding(int64_t rows, int64_t channels, double stddev = kLinearStddev);

  Tensor forward(const Tensor& ids) const;

  Tensor weight;
};

}  // namespace vigor
