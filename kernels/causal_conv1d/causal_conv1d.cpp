#include "kernels/causal_conv1d/causal_conv1d.h"

#include "autograd/node.h"
#include "kernels/arguments.h"
#include "kernels/causal_conv1d/causal_conv1d_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

struct CausalConv1dNode : Node {
  explicit CausalConv1dNode(bool with_silu) : Node("causal_conv1d"), silu(with_silu) {}
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
      const Tensor taps = empty({in.K + 1, dy.size(2)}, sum_dtype(dy)), dtaps = empty_like(taps);
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

void expect(const char* name, const char* letters, const Tensor& tensor, const Shape& shape, Dtype dtype,
            const Tensor& x) {
  if (!(tensor.shape() == shape) || tensor.dtype() != dtype || tensor.device() != x.device())
    fail("causal_conv1d: {} must be {}={} {} on {}; got {} (x is {})", name, letters, to_string(shape), name_of(dtype),
         to_string(x.device()), describe(tensor), describe(x));
}

void check_lengths(const Tensor& lengths, int64_t T) {
  if (!lengths.device().is_cpu()) return;  // reading them would wait for the GPU; kernels take the nearest of 0 .. T
  const std::vector<int32_t> values = lengths.to_vector<int32_t>();
  for (size_t b = 0; b < values.size(); ++b)
    check(values[b] >= 0 && values[b] <= T, "causal_conv1d: lengths must be in 0 .. T={}; lengths[{}] is {}", T, b,
          values[b]);
}

void check_inputs(const Tensor& x, const Tensor& weight, const Tensor& bias, const CausalConv1dOptions& options) {
  check(x.defined() && weight.defined(), "causal_conv1d: x and weight must be tensors; got an undefined one");
  if (x.rank() != 3 || x.numel() == 0 || !is_computed(x.dtype()))
    fail("causal_conv1d: x must be [B,T,C] in f32, f64 or bf16, no size 0; got {}", describe(x));
  if (!x.device().is_cpu() && x.dtype() == Dtype::f64)
    fail("causal_conv1d: on CUDA x must be f32 or bf16; got {}", describe(x));
  const int64_t B = x.size(0), T = x.size(1), C = x.size(2), K = weight.rank() > 0 ? weight.size(-1) : 0;
  const bool shaped = weight.shape() == Shape{C, 1, K} || weight.shape() == Shape{C, K};
  if (!shaped || K < 1 || K > kMaxConvWidth || !fits_beside(weight, x) || weight.device() != x.device())
    fail(
        "causal_conv1d: weight must be [C,1,K] or [C,K] with C={}, K from 1 to {}, in the dtype of x or f32 beside "
        "bf16; got {} (x is {})",
        C, kMaxConvWidth, describe(weight), describe(x));
  if (bias.defined()) expect("bias", "[C]", bias, {C}, weight.dtype(), x);
  if (options.state.defined()) expect("state", "[B,K-1,C]", options.state, {B, K - 1, C}, x.dtype(), x);
  if (options.resets.defined()) expect("resets", "[B,T]", options.resets, {B, T}, Dtype::u8, x);
  if (!options.lengths.defined()) return;
  expect("lengths", "[B]", options.lengths, {B}, Dtype::i32, x);
  check_lengths(options.lengths, T);
}

}  // namespace

CausalConv1dResult causal_conv1d(const Tensor& any_x, const Tensor& weight, const Tensor& bias,
                                 const CausalConv1dOptions& options) {
  check_inputs(any_x, weight, bias, options);
  const int64_t B = any_x.size(0), C = any_x.size(2), K = weight.size(-1);
  OpScope scope("causal_conv1d", {&any_x, &weight, &bias, &options.state}, flops(any_x, K));
  // Rows of a wider projection are read where they are.
  const Tensor x = any_x.strides()[2] == 1 ? any_x : contiguous_values(any_x);
  const Tensor weight_values = contiguous_values(weight), bias_values = contiguous_values(bias);
  const CausalConv1dOptions values{contiguous_values(options.state), contiguous_values(options.lengths),
                                   contiguous_values(options.resets), options.silu};
  const CausalConv1dResult result{empty(x.shape(), x.dtype(), x.device()), empty({B, K - 1, C}, x.dtype(), x.device())};
  const CausalConv1dInputs in = views(x, weight_values, bias_values, values);
  switch (x.device().kind) {
    case DeviceKind::cpu: {
      const Tensor taps = empty({K + 1, C}, sum_dtype(x));
      causal_conv1d_forward_cpu(result.y, result.last_state, in, taps);
      break;
    }
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) causal_conv1d_forward_cuda(result.y, result.last_state, in);
      else unsupported_device("causal_conv1d", x.device());
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
