#include "kernels/adamw/adamw.h"

#include <cmath>

#include "kernels/adamw/adamw_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {

void set_bias_corrections(StepState& state, const AdamWOptions& options) {
  const double t = static_cast<double>(state.step + 1);
  state.bias_correction1 = static_cast<float>(1 - std::pow(options.beta1, t));
  state.bias_correction2 = static_cast<float>(1 - std::pow(options.beta2, t));
}

void adamw_update(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v, const StepState& state,
                  const AdamWOptions& options) {
  if (param.dtype() != Dtype::f32 && param.dtype() != Dtype::f64)
    fail("adamw: param must be f32 or f64; got {}", describe(param));
  for (const Tensor* x : {&param, &grad, &m, &v})
    if (!(x->shape() == param.shape()) || x->dtype() != param.dtype() || !x->is_contiguous() ||
        !(x->device() == param.device()))
      fail("adamw: param, grad, m and v must be contiguous and alike; got {}, {}, {}, {}", describe(param),
           describe(grad), describe(m), describe(v));
  const double count = static_cast<double>(param.numel());
  OpScope scope("adamw", {&param, &grad, &m, &v}, 15 * count, 7 * count * static_cast<double>(size_of(param.dtype())));
  switch (param.device().kind) {
    case DeviceKind::cpu:
      adamw_update_cpu(param, grad, m, v, state, options);
      break;
    case DeviceKind::cuda:
      unsupported_device("adamw", param.device());
  }
  param.storage()->bump_version();
  scope.done({&param});
}

}  // namespace vigor
