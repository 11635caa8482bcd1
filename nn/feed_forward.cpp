#include "nn/feed_forward.h"

#include "kernels/gelu/gelu.h"

namespace vigor {

FeedForward::FeedForward(int64_t channels, int64_t hidden, int64_t rank) : hidden_(hidden), rank_(rank) {
  if (rank == 0) {
    up_ = std::make_unique<Linear>(channels, hidden);
    down_ = std::make_unique<Linear>(hidden, channels);
    add_child("0", *up_);
    add_child("2", *down_);
    weights_ = 2.0 * static_cast<double>(channels * hidden);
  } else {
    low_rank_up_ = std::make_unique<LowRankLinear>(channels, hidden, rank);
    low_rank_down_ = std::make_unique<LowRankLinear>(hidden, channels, rank);
    add_child("0", *low_rank_up_);
    add_child("2", *low_rank_down_);
    weights_ = 2.0 * static_cast<double>((channels + hidden) * rank);
  }
}

Tensor FeedForward::forward(const Tensor& x) const {
  if (rank_ == 0) return down_->forward(up_->forward_gelu(x));
  return low_rank_down_->forward(gelu(low_rank_up_->forward(x), GeluKind::erf));
}

double FeedForward::flops_per_token() const { return 2.0 * weights_; }

// Before and after the GELU; the thin products of both low-rank linears.
double FeedForward::saved_per_token() const { return static_cast<double>(2 * hidden_ + 2 * rank_); }

}  // namespace vigor
