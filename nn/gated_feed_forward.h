#pragma once
#include "nn/linear.h"

namespace vigor {

// The feed-forward block of Llama and Falcon-H1 (Shazeer 2020, arXiv:2002.05202), x [..., d] -> y [..., d] through
// `hidden` channels:
//
//   y = down_proj(SiLU(gate_multiplier gate_proj(x)) * up_proj(x))
//
// Children: `gate_proj` and `up_proj` d -> hidden, `down_proj` hidden -> d.
struct GatedFeedForwardOptions {
  int64_t channels = 0;
  int64_t hidden = 0;
  bool bias = false;  // of all three
  double gate_multiplier = 1;
  double weight_stddev = kLinearStddev;
};

class GatedFeedForward : public Module {
 public:
  explicit GatedFeedForward(const GatedFeedForwardOptions& options);

  Tensor forward(const Tensor& x) const;

  double flops_per_token() const;  // forward
  double saved_per_token() const;  // elements kept for backward, for each token beside the input

  Linear gate_proj, up_proj, down_proj;

 private:
  GatedFeedForwardOptions options_;
};

}  // namespace vigor
