#include "kernels/adamw/adamw.h"

#include <cmath>

#include "kernels/adamw/adamw_kernels.h"
#include "tensor/check.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

void check_like_param(const char* name, const Tensor& x, Dtype dtype, const Tensor& param) {
  if (!x.defined() || !(x.shape() == param.shape()) || x.dtype() != dtype || !x.is_contiguous() ||
      x.device() != param.device())
    fail("adamw: {} must be contiguous and like param, in {}; got {} (param is {})", name, name_of(dtype),
         x.defined() ? describe(x) : "an undefined tensor", describe(param));
}

// Moments beside an f32 parameter or master, which is `dtype` otherwise.
void check_moments(const Tensor& m, const Tensor& v, Dtype dtype, const Tensor& param) {
  const bool bf16 = m.defined() && m.dtype() == Dtype::bf16 && dtype == Dtype::f32;
  check_like_param("m", m, bf16 ? Dtype::bf16 : dtype, param);
  check_like_param("v", v, bf16 ? Dtype::bf16 : dtype, param);
}

void check_options(const StepState* state, const AdamWOptions& options) {
  check(state != nullptr, "adamw: a StepState must be given");
  check(options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1,
        "adamw: beta1 and beta2 must be in [0, 1); got {} and {}", options.beta1, options.beta2);
  check(options.eps > 0, "adamw: eps must be above 0; got {}", options.eps);
  check(options.learning_rate_scale >= 0, "adamw: learning_rate_scale must not be negative; got {}",
        options.learning_rate_scale);
}

constexpr double kFlopsPerElement = 14;

}  // namespace

void adamw_update(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v, const StepState* state,
                  const AdamWOptions& options, const Bf16Rounding& rounding) {
  check(param.defined(), "adamw: param must be a tensor; got an undefined one");
  if ((param.dtype() != Dtype::f32 && param.dtype() != Dtype::f64) || !param.is_contiguous())
    fail("adamw: param must be contiguous, in f32 or f64; got {}", describe(param));
  check_like_param("grad", grad, param.dtype(), param);
  check_moments(m, v, param.dtype(), param);
  check_options(state, options);
  OpScope scope("adamw", {&param, &grad, &m, &v}, kFlopsPerElement * static_cast<double>(param.numel()),
                3.0 * static_cast<double>(param.nbytes()) + 4.0 * static_cast<double>(m.nbytes()));
  switch (param.device().kind) {
    case DeviceKind::cpu:
      adamw_cpu(param, grad, m, v, state, options, rounding);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) adamw_cuda(param, grad, m, v, state, options, rounding);
      else unsupported_device("adamw", param.device());
      break;
  }
  for (const Tensor& written : {param, m, v}) written.storage()->bump_version();
  scope.done({&param});
}

void adamw_update_mixed(const Tensor& param, const Tensor& master, const Tensor& grad, const Tensor& m, const Tensor& v,
                        const StepState* state, const AdamWOptions& options, const Bf16Rounding& rounding) {
  check(param.defined(), "adamw: param must be a tensor; got an undefined one");
  if (param.dtype() != Dtype::bf16 || !param.is_contiguous())
    fail("adamw: beside a master, param must be contiguous, in bf16; got {}", describe(param));
  check_like_param("master", master, Dtype::f32, param);
  check_like_param("grad", grad, Dtype::bf16, param);
  check_moments(m, v, Dtype::f32, param);
  check_options(state, options);
  OpScope scope("adamw", {&param, &master, &grad, &m, &v}, kFlopsPerElement * static_cast<double>(param.numel()),
                12.0 * static_cast<double>(param.numel()) + 4.0 * static_cast<double>(m.nbytes()));
  switch (param.device().kind) {
    case DeviceKind::cpu:
      adamw_mixed_cpu(param, master, grad, m, v, state, options, rounding);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) adamw_mixed_cuda(param, master, grad, m, v, state, options, rounding);
      else unsupported_device("adamw", param.device());
      break;
  }
  for (const Tensor& written : {param, master, m, v}) written.storage()->bump_version();
  scope.done({&param});
}

void set_bias_corrections(StepState& state, const AdamWOptions& options) {
  const auto t = static_cast<double>(state.step + 1);
  state.bias_correction1 = static_cast<float>(1 - std::pow(options.beta1, t));
  state.bias_correction2 = static_cast<float>(1 - std::pow(options.beta2, t));
}

}  // namespace vigor
