#pragma once
#include <memory>

#include "nn/linear.h"

namespace vigor {

// Two linears with an exact GELU between them: x [..., d] -> y [..., d] through `hidden` channels.
// Children "0" (d -> hidden) and "2" (hidden -> d), Linear or, with rank > 0, LowRankLinear; "1" is the GELU.
class FeedForward : public Module {
 public:
  FeedForward(int64_t channels, int64_t hidden, int64_t rank = 0);

  Tensor forward(const Tensor& x) const;

  double flops_per_token() const;  // forward
  double saved_per_token() const;  // elements kept for backward, for each token beside the input

 private:
  int64_t hidden_, rank_;
  std::unique_ptr<Linear> up_, down_;                           // dense,
  std::unique_ptr<LowRankLinear> low_rank_up_, low_rank_down_;  // or these
  double weights_ = 0;                                          // elements of the matrices
};

}  // namespace vigor
