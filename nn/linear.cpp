#include "nn/linear.h"

#include "kernels/linear/linear.h"
#include "kernels/low_rank_linear/low_rank_linear.h"

namespace vigor {

Linear::Linear(int64_t in, int64_t out, bool with_bias, Initializer weight_init) {
  add_parameter("weight", weight, {out, in}, std::move(weight_init));
  if (with_bias) add_parameter("bias", bias, {out}, constant_init(0.0));
}

Tensor Linear::forward(const Tensor& x) const { return linear(x, weight, bias); }

Tensor Linear::forward_gelu(const Tensor& x) const { return linear_gelu(x, weight, bias); }

LowRankLinear::LowRankLinear(int64_t in, int64_t out, int64_t rank) {
  add_parameter("lora_A", lora_a, {out, rank}, normal_init(kLinearStddev));
  add_parameter("lora_B", lora_b, {rank, in}, normal_init(kLinearStddev));
  add_parameter("bias", bias, {out}, constant_init(0.0));
}

Tensor LowRankLinear::forward(const Tensor& x) const { return low_rank_linear(x, lora_a, lora_b, bias); }

}  // namespace vigor
