#include "kernels/token_shift/token_shift.h"

#include "autograd/node.h"
#include "kernels/sequence_arguments.h"
#include "kernels/token_shift/token_shift_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

TokenShiftInputs views(const Tensor& x, const Tensor& mix, const TokenShiftOptions& options) {
  return {x, mix, view_or_none(options.state), view_or_none(options.lengths), view_or_none(options.resets)};
}

struct TokenShiftNode : Node {
  TokenShiftNode() : Node("token_shift") {}
  enum Input { kX, kMix, kState };
  SavedTensor x{this, "x"}, mix{this, "mix"}, state{this, "state"}, lengths{this, "lengths"}, resets{this, "resets"};

  void backward(Backward& b) override {
    const Tensor dy = contiguous_values(b.grad_or_zeros(0)), dlast_state = contiguous_values(b.grad(1));
    const int64_t B = dy.size(0), T = dy.size(1), C = dy.size(2);
    const Dtype dtype = mix.get().dtype();
    OpScope scope("token_shift_backward", {&dy, &dlast_state, &x.get()}, 6.0 * static_cast<double>(dy.numel()));
    const Tensor dx = empty(dy.shape(), dy.dtype(), dy.device());
    const Tensor dstate = b.needs(kState) ? empty({B, C}, dtype, dy.device()) : Tensor();
    const Tensor sums = empty({B * token_shift_blocks(T, dy.device()), 1, C}, dtype, dy.device());
    const Backward::Target dmix = wanted_target(b, kMix, {C}, dtype, dy.device());
    const TokenShiftInputs in = views(x.get(), mix.get(), {state.get(), lengths.get(), resets.get()});
    const TokenShiftGradients grads{dy, view_or_none(dlast_state), dx, view_or_none(dstate), gradient_view(dmix), sums};
    switch (dy.device().kind) {
      case DeviceKind::cpu:
        token_shift_backward_cpu(in, grads);
        break;
      case DeviceKind::cuda:
        if constexpr (kCudaBuild) token_shift_backward_cuda(in, grads);
        else unsupported_device("token_shift_backward", dy.device());
        break;
    }
    b.set(kX, dx);
    b.set(kState, dstate);
    set_gradient(b, kMix, dmix);
    scope.done({&dx, &dstate, &dmix.tensor});
  }
};

}  // namespace

TokenShiftResult token_shift(const Tensor& any_x, const Tensor& any_mix, const TokenShiftOptions& options) {
  const Dtype dtype = check_sequences("token_shift", "x", any_x);
  const int64_t B = any_x.size(0), C = any_x.size(2);
  expect_tensor("token_shift", "mix", "[C]", any_mix, {C}, dtype, any_x);
  if (options.state.defined()) expect_tensor("token_shift", "state", "[B,C]", options.state, {B, C}, dtype, any_x);
  check_lengths_and_resets("token_shift", options.lengths, options.resets, any_x);

  OpScope scope("token_shift", {&any_x, &any_mix, &options.state}, 4.0 * static_cast<double>(any_x.numel()));
  const Tensor x = unit_stride_values(any_x), mix = contiguous_values(any_mix);
  const TokenShiftOptions values{contiguous_values(options.state), contiguous_values(options.lengths),
                                 contiguous_values(options.resets)};
  const TokenShiftResult result{empty(x.shape(), x.dtype(), x.device()), empty({B, C}, dtype, x.device())};
  const TokenShiftInputs in = views(x, mix, values);
  switch (x.device().kind) {
    case DeviceKind::cpu:
      token_shift_forward_cpu(in, result.y, result.last_state);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) token_shift_forward_cuda(in, result.y, result.last_state);
      else unsupported_device("token_shift", x.device());
      break;
  }
  if (auto node = record<TokenShiftNode>({&any_x, &any_mix, &options.state})) {
    node->x.save(x);
    node->mix.save(mix);
    node->state.save(values.state);
    node->lengths.save(values.lengths);
    node->resets.save(values.resets);
    node->attach({&result.y, &result.last_state});
  }
  scope.done({&result.y, &result.last_state});
  return result;
}

}  // namespace vigor
