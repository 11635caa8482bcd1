#include "nn/norm.h"

#include "kernels/layer_norm/layer_norm.h"
#include "kernels/rms_norm/rms_norm.h"

namespace vigor {

LayerNorm::LayerNorm(int64_t channels, double eps) : eps_(eps) {
  add_parameter("weight", weight, {channels}, constant_init(1.0), ParameterPrecision::full);
  add_parameter("bias", bias, {channels}, constant_init(0.0), ParameterPrecision::full);
}

Tensor LayerNorm::forward(const Tensor& x) const { return layer_norm(x, weight, bias, eps_); }

RMSNorm::RMSNorm(int64_t channels, double eps) : eps_(eps) {
  add_parameter("weight", weight, {channels}, constant_init(1.0), ParameterPrecision::full);
}

Tensor RMSNorm::forward(const Tensor& x) const { return rms_norm(x, weight, eps_); }

}  // namespace vigor
