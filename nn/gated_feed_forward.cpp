#include "nn/gated_feed_forward.h"

#include "kernels/swiglu/swiglu.h"

namespace vigor {

GatedFeedForward::GatedFeedForward(const GatedFeedForwardOptions& o)
    : gate_proj(o.channels, o.hidden, o.bias, normal_init(o.weight_stddev)),
      up_proj(o.channels, o.hidden, o.bias, normal_init(o.weight_stddev)),
      down_proj(o.hidden, o.channels, o.bias, normal_init(o.weight_stddev)),
      options_(o) {
  add_child("gate_proj", gate_proj);
  add_child("up_proj", up_proj);
  add_child("down_proj", down_proj);
}

Tensor GatedFeedForward::forward(const Tensor& x) const {
  return down_proj.forward(swiglu(gate_proj.forward(x), up_proj.forward(x), options_.gate_multiplier));
}

double GatedFeedForward::flops_per_token() const {
  return 2.0 * 3.0 * static_cast<double>(options_.channels * options_.hidden);
}

// Both inputs of the gate, and its result.
double GatedFeedForward::saved_per_token() const { return 3.0 * static_cast<double>(options_.hidden); }

}  // namespace vigor
