#include "kernels/wkv/wkv.h"

#include "autograd/node.h"
#include "kernels/sequence_arguments.h"
#include "kernels/wkv/wkv_kernels.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// Operations of a step and channel, an exponential counted as one.
constexpr double kForwardFlops = 16, kBackwardFlops = 45;

WkvInputs views(const Tensor& k, const Tensor& v, const Tensor& time_decay, const Tensor& time_first,
                const WkvOptions& options) {
  return {k,
          v,
          time_decay,
          time_first,
          view_or_none(options.state),
          view_or_none(options.lengths),
          view_or_none(options.resets)};
}

struct WkvNode : Node {
  WkvNode() : Node("wkv") {}
  enum Input { kK, kV, kTimeDecay, kTimeFirst, kState };
  SavedTensor k{this, "k"}, v{this, "v"}, time_decay{this, "time_decay"}, time_first{this, "time_first"};
  SavedTensor lengths{this, "lengths"}, resets{this, "resets"};
  SavedTensor chunk_states{this, "chunk_states"};

  void backward(Backward& b) override;
};

void WkvNode::backward(Backward& b) {
  const Tensor dy = contiguous_values(b.grad_or_zeros(0)), dlast_state = contiguous_values(b.grad(1));
  const int64_t B = dy.size(0), C = dy.size(2);
  const Dtype dtype = time_decay.get().dtype();
  const Device device = dy.device();
  OpScope scope("wkv_backward", {&dy, &dlast_state, &k.get(), &v.get(), &chunk_states.get()},
                kBackwardFlops * static_cast<double>(dy.numel()));
  const Tensor dk = empty_like(dy), dv = empty_like(dy), sums = empty({B, 2, C}, dtype, device);
  const Tensor dstate = b.needs(kState) ? empty({B, 3, C}, dtype, device) : Tensor();
  const Backward::Target dtime_decay = wanted_target(b, kTimeDecay, {C}, dtype, device);
  const Backward::Target dtime_first = wanted_target(b, kTimeFirst, {C}, dtype, device);
  const WkvInputs in =  // without the state: that of chunk 0 is it
      views(k.get(), v.get(), time_decay.get(), time_first.get(), {{}, lengths.get(), resets.get()});
  const WkvGradients grads{dy,  view_or_none(dlast_state), chunk_states.get(),         dk,
                           dv,  view_or_none(dstate),      gradient_view(dtime_decay), gradient_view(dtime_first),
                           sums};
  switch (device.kind) {
    case DeviceKind::cpu:
      wkv_backward_cpu(in, grads);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) wkv_backward_cuda(in, grads);
      else unsupported_device("wkv_backward", device);
      break;
  }
  b.set(kK, dk);
  b.set(kV, dv);
  b.set(kState, dstate);
  set_gradient(b, kTimeDecay, dtime_decay);
  set_gradient(b, kTimeFirst, dtime_first);
  scope.done({&dk, &dv, &dstate, &dtime_decay.tensor, &dtime_first.tensor});
}

}  // namespace

WkvResult wkv(const Tensor& any_k, const Tensor& any_v, const Tensor& any_time_decay, const Tensor& any_time_first,
              const WkvOptions& options) {
  const Dtype dtype = check_sequences("wkv", "k", any_k);
  const int64_t B = any_k.size(0), T = any_k.size(1), C = any_k.size(2);
  expect_tensor("wkv", "v", "[B,T,C]", any_v, any_k.shape(), any_k.dtype(), any_k);
  expect_tensor("wkv", "time_decay", "[C]", any_time_decay, {C}, dtype, any_k);
  expect_tensor("wkv", "time_first", "[C]", any_time_first, {C}, dtype, any_k);
  if (options.state.defined()) expect_tensor("wkv", "state", "[B,3,C]", options.state, {B, 3, C}, dtype, any_k);
  check_lengths_and_resets("wkv", options.lengths, options.resets, any_k);

  OpScope scope("wkv", {&any_k, &any_v, &any_time_decay, &any_time_first, &options.state},
                kForwardFlops * static_cast<double>(any_k.numel()));
  const Tensor k = unit_stride_values(any_k), v = unit_stride_values(any_v);
  const Tensor time_decay = contiguous_values(any_time_decay), time_first = contiguous_values(any_time_first);
  const WkvOptions values{contiguous_values(options.state), contiguous_values(options.lengths),
                          contiguous_values(options.resets)};
  const WkvResult result{empty(k.shape(), k.dtype(), k.device()), empty({B, 3, C}, dtype, k.device())};
  auto node = record<WkvNode>({&any_k, &any_v, &any_time_decay, &any_time_first, &options.state});
  const Tensor chunk_states = node ? empty({B, wkv_chunks(T), 3, C}, dtype, k.device()) : Tensor();
  const WkvInputs in = views(k, v, time_decay, time_first, values);
  const WkvOutputs out{result.y, result.last_state, view_or_none(chunk_states)};
  switch (k.device().kind) {
    case DeviceKind::cpu:
      wkv_forward_cpu(in, out);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) wkv_forward_cuda(in, out);
      else unsupported_device("wkv", k.device());
      break;
  }
  if (node) {
    node->k.save(k);
    node->v.save(v);
    node->time_decay.save(time_decay);
    node->time_first.save(time_first);
    node->lengths.save(values.lengths);
    node->resets.save(values.resets);
    node->chunk_states.save(chunk_states);
    node->attach({&result.y, &result.last_state});
  }
  scope.done({&result.y, &result.last_state});
  return result;
}

}  // namespace vigor
