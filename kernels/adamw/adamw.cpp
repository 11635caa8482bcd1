#include "kernels/adamw/adamw.h"

#include "kernels/adamw/adamw_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {

void adamw_update(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v, const StepState& state,
                  const AdamWOptions& options) {
  check(param.defined(), "adamw: param must be a tensor; got an undefined one");
  if ((param.dtype() != Dtype::f32 && param.dtype() != Dtype::f64) || !param.is_contiguous())
    fail("adamw: param must be contiguous, in f32 or f64; got {}", describe(param));
  const auto check_like_param = [&](const char* name, const Tensor& x) {
    if (!x.defined() || !(x.shape() == param.shape()) || x.dtype() != param.dtype() || !x.is_contiguous() ||
        x.device() != param.device())
      fail("adamw: {} must be contiguous and like param; got {} (param is {})", name,
           x.defined() ? describe(x) : "an undefined tensor", describe(param));
  };
  check_like_param("grad", grad);
  check_like_param("m", m);
  check_like_param("v", v);
  check(options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1,
        "adamw: beta1 and beta2 must be in [0, 1); got {} and {}", options.beta1, options.beta2);
  check(options.eps > 0, "adamw: eps must be above 0; got {}", options.eps);
  OpScope scope("adamw", {&param, &grad, &m, &v}, 14.0 * static_cast<double>(param.numel()),
                7.0 * static_cast<double>(param.nbytes()));
  switch (param.device().kind) {
    case DeviceKind::cpu:
      adamw_cpu(param, grad, m, v, state, options);
      break;
    case DeviceKind::cuda:
      unsupported_device("adamw", param.device());
  }
  for (const Tensor& written : {param, m, v}) written.storage()->bump_version();
  scope.done({&param});
}

}  // namespace vigor
