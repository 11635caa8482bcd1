#include "kernels/causal_conv1d/causal_conv1d.h"

#include "autograd/node.h"
#include "kernels/causal_conv1d/causal_conv1d_kernels.h"
#include "kernels/sequence_arguments.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

constexpr const char* kOp = "causal_conv1d";

struct CausalConv1dNode : Node {
  explicit CausalConv1dNode(bool with_silu) : Node(kOp), silu(with_silu) {}
  enum Input { kX, kWeight, kBias, kState };
  SavedTensor x{this, "x"}, weight{this, "weight"}, bias{this, "bias"}, state{this, "state"};
  SavedTensor lengths{this, "lengths"}, resets{this, "resets"};
  bool silu;

  void backward(Backward& b) override;
};

CausalConv1dInputs views(const Tensor& x, const Tensor& weight, const Tensor& bias,
                         const CausalConv1dOptions& options) {
  return {x,
          weight,
          view_or_none(bias),
          view_or_none(options.state),
          view_or_none(options.lengths),
          view_or_none(options.resets),
          weight.size(-1),
          options.silu};
}

double flops(const Tensor& x, int64_t K) { return static_cast<double>(x.numel() * (2 * K + 5)); }

Dtype sum_dtype(const Tensor& x) { return x.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32; }

void CausalConv1dNode::backward(Backward& b) {
  const Tensor dy = contiguous_values(b.grad_or_zeros(0)), dlast_state = contiguous_values(b.grad(1));
  const Shape state_shape{dy.size(0), weight.get().size(-1) - 1, dy.size(2)};
  OpScope scope("causal_conv1d_backward", {&dy, &dlast_state, &x.get(), &weight.get()},
                2 * flops(dy, weight.get().size(-1)));
  const Tensor dx = empty(dy.shape(), dy.dtype(), dy.device());
  const Tensor dstate = b.needs(kState) ? empty(state_shape, dy.dtype(), dy.device()) : Tensor();
  const Backward::Target dweight = wanted_target(b, kWeight, weight.get().shape(), weight.get().dtype(), dy.device());
  const Backward::Target dbias = wanted_target(b, kBias, {dy.size(2)}, weight.get().dtype(), dy.device());

  const CausalConv1dInputs in =
      views(x.get(), weight.get(), bias.get(), {state.get(), lengths.get(), resets.get(), silu});
  CausalConv1dGradients grads;
  grads.dy = dy, grads.dlast_state = view_or_none(dlast_state);
  grads.dx = dx, grads.dstate = view_or_none(dstate);
  grads.dweight = gradient_view(dweight), grads.dbias = gradient_view(dbias);
  switch (dy.device().kind) {
    case DeviceKind::cpu: {
      const Tensor taps = empty({in.K + 1, causal_conv1d_tap_step(dy.size(2))}, sum_dtype(dy)),
                   dtaps = empty_like(taps);
      causal_conv1d_backward_cpu(in, grads, taps, dtaps);
      break;
    }
    case DeviceKind::cuda: {
      const Tensor partial =
          empty({causal_conv1d_parts(dy.size(0), dy.size(1)), in.K + 1, dy.size(2)}, Dtype::f32, dy.device());
      if constexpr (kCudaBuild) causal_conv1d_backward_cuda(in, grads, partial);
      else unsupported_device("causal_conv1d_backward", dy.device());
      break;
    }
  }
  b.set(kX, dx);
  b.set(kState, dstate);
  set_gradient(b, kWeight, dweight);
  set_gradient(b, kBias, dbias);
  scope.done({&dx, &dstate, &dweight.tensor, &dbias.tensor});
}

void check_inputs(const Tensor& x, const Tensor& weight, const Tensor& bias, const CausalConv1dOptions& options) {
  check_sequences(kOp, "x", x);
  check(weight.defined(), "causal_conv1d: weight must be a tensor; got an undefined one");
  const int64_t B = x.size(0), C = x.size(2), K = weight.rank() > 0 ? weight.size(-1) : 0;
  const bool shaped = weight.shape() == Shape{C, 1, K} || weight.shape() == Shape{C, K};
  if (!shaped || K < 1 || K > kMaxConvWidth || !fits_beside(weight, x) || weight.device() != x.device())
    fail(
        "causal_conv1d: weight must be [C,1,K] or [C,K] with C={}, K from 1 to {}, in the dtype of x or f32 beside "
        "bf16; got {} (x is {})",
        C, kMaxConvWidth, describe(weight), describe(x));
  if (bias.defined()) expect_tensor(kOp, "bias", "[C]", bias, {C}, weight.dtype(), x);
  if (options.state.defined()) expect_tensor(kOp, "state", "[B,K-1,C]", options.state, {B, K - 1, C}, x.dtype(), x);
  check_lengths_and_resets(kOp, options.lengths, options.resets, x);
}

}  // namespace

CausalConv1dResult causal_conv1d(const Tensor& any_x, const Tensor& weight, const Tensor& bias,
                                 const CausalConv1dOptions& options) {
  check_inputs(any_x, weight, bias, options);
  const int64_t B = any_x.size(0), C = any_x.size(2), K = weight.size(-1);
  OpScope scope(kOp, {&any_x, &weight, &bias, &options.state}, flops(any_x, K));
  // Rows of a wider projection are read where they are.
  const Tensor x = unit_stride_values(any_x);
  const Tensor weight_values = contiguous_values(weight), bias_values = contiguous_values(bias);
  const CausalConv1dOptions values{contiguous_values(options.state), contiguous_values(options.lengths),
                                   contiguous_values(options.resets), options.silu};
  const CausalConv1dResult result{empty(x.shape(), x.dtype(), x.device()), empty({B, K - 1, C}, x.dtype(), x.device())};
  const CausalConv1dInputs in = views(x, weight_values, bias_values, values);
  switch (x.device().kind) {
    case DeviceKind::cpu: {
      const Tensor taps = empty({K + 1, causal_conv1d_tap_step(C)}, sum_dtype(x));
      causal_conv1d_forward_cpu(result.y, result.last_state, in, taps);
      break;
    }
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) causal_conv1d_forward_cuda(result.y, result.last_state, in);
      else unsupported_device(kOp, x.device());
      break;
  }
  if (auto node = record<CausalConv1dNode>({&any_x, &weight, &bias, &options.state}, options.silu)) {
    node->x.save(x);
    node->weight.save(weight_values);
    node->bias.save(bias_values);
    node->state.save(values.state);
    node->lengths.save(values.lengths);
    node->resets.save(values.resets);
    node->attach({&result.y, &result.last_state});
  }
  scope.done({&result.y, &result.last_state});
  return result;
}

}  // namespace vigor
