#pragma once
// Affine maps of the last dimension.
#include "nn/module.h"

namespace vigor {

// y = x weight^T + bias:  x [..., in] -> y [..., out].
// Parameters: `weight [out,in]` N(0, 0.02^2), `bias [out]` 0 (absent without bias).
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias = true, Initializer weight_init = normal_init(kLinearStddev));

  Tensor forward(const Tensor& x) const;
  // gelu(forward(x)), exact form, in one operation.
  Tensor forward_gelu(const Tensor& x) const;

  Tensor weight;
  Tensor bias;  // undefined without bias
};

// y = (x lora_b^T) lora_a^T + bias, the "low-rank pre-training" (LoRPt) form: the product of the factors, a matrix
// [out,in] of rank r, is never formed.  x [..., in] -> y [..., out].
// Parameters: `lora_A [out,r]` and `lora_B [r,in]` N(0, 0.02^2), `bias [out]` 0.
class LowRankLinear : public Module {
 public:
  LowRankLinear(int64_t in, int64_t out, int64_t rank);

  Tensor forward(const Tensor& x) const;

  Tensor lora_a;
  Tensor lora_b;
  Tensor bias;
};

}  // namespace vigor
