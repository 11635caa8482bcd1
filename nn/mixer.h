#pragma once
// What a block's mixer offers: the part of a layer that looks across time. A new kind of layer is one class like this
// and one name in a model's configuration.
#include <memory>
#include <string>

#include "nn/layer_cache.h"
#include "nn/module.h"

namespace vigor {

class Mixer : public Module {
 public:
  // Whole sequences from position 0, no padding: x [B,T,C] -> y [B,T,C]. Row t of y depends on rows 0..t of x.
  virtual Tensor forward(const Tensor& x) const = 0;
  // Continues the sequences of `cache` by the tokens of x, as `positions` places them, and updates `cache`; rows of y
  // at padding are unspecified. Splitting a sequence over calls changes nothing but rounding.
  virtual Tensor forward(const Tensor& x, LayerCache& cache, const TokenPositions& positions) const = 0;
  // The cache of sequences that have not begun. `capacity`: the most tokens a row may get, for mixers that keep them.
  virtual LayerCache make_cache(int64_t batch, int64_t capacity) const = 0;

  // For reports. Multiply-adds count as two operations, forward only, averaged over positions 0..T-1.
  virtual double flops_per_token(int64_t T) const = 0;
  // Elements that training keeps for backward, for each token beside the mixer's input, which the norm's output is.
  virtual double saved_per_token() const = 0;
};

}  // namespace vigor
