#include "kernels/selective_scan/selective_scan.h"

#include "autograd/node.h"
#include "kernels/selective_scan/selective_scan_kernels.h"
#include "kernels/sequence_arguments.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

// Operations of a step and state, an exponential counted as one.
constexpr double kForwardFlops = 7, kBackwardFlops = 22;

struct SelectiveScanNode : Node {
  SelectiveScanNode() : Node("selective_scan") {}
  enum Input { kX, kDelta, kB, kC, kALog, kD, kDeltaBias, kState };
  SavedTensor x{this, "x"}, delta{this, "delta"}, b{this, "b"}, c{this, "c"};
  SavedTensor a_log{this, "a_log"}, d{this, "d"}, delta_bias{this, "delta_bias"};
  SavedTensor lengths{this, "lengths"}, resets{this, "resets"}, chunk_states{this, "chunk_states"};

  void backward(Backward& back) override;
};

void SelectiveScanNode::backward(Backward& back) {
  const Tensor dy = contiguous_values(back.grad_or_zeros(0)), dlast_state = contiguous_values(back.grad(1));
  const int64_t B = dy.size(0), T = dy.size(1), E = dy.size(2), N = b.get().size(2);
  const Dtype dtype = a_log.get().dtype();
  const Device device = dy.device();
  OpScope scope("selective_scan_backward", {&dy, &dlast_state, &x.get(), &delta.get(), &b.get(), &c.get()},
                kBackwardFlops * static_cast<double>(dy.numel() * N));
  const Tensor dx = empty_like(dy), ddelta = empty_like(dy), db = empty({B, T, N}, dy.dtype(), device),
               dc = empty_like(db), dstate = empty({B, E, N}, dtype, device);
  const Backward::Target da_log = wanted_target(back, kALog, {E, N}, dtype, device);
  const Backward::Target dd = wanted_target(back, kD, {E}, dtype, device);
  const Backward::Target ddelta_bias = wanted_target(back, kDeltaBias, {E}, dtype, device);
  const Tensor sums_bc = empty({B, selective_scan_blocks(E, N, device), T, 2, N}, dtype, device),
               sums_a = empty({B, 1, E * N}, dtype, device), sums_d = empty({B, 2, E}, dtype, device);
  const SelectiveScanArguments in{x.get(),
                                  delta.get(),
                                  b.get(),
                                  c.get(),
                                  a_log.get(),
                                  d.get(),
                                  delta_bias.get(),
                                  {},  // the states of chunk 0 are it
                                  view_or_none(lengths.get()),
                                  view_or_none(resets.get())};
  SelectiveScanGradients grads;
  grads.dy = dy, grads.dlast_state = view_or_none(dlast_state), grads.chunk_states = chunk_states.get();
  grads.dx = dx, grads.ddelta = ddelta, grads.db = db, grads.dc = dc, grads.dstate = dstate;
  grads.da_log = gradient_view(da_log), grads.dd = gradient_view(dd), grads.ddelta_bias = gradient_view(ddelta_bias);
  grads.sums_bc = sums_bc, grads.sums_a = sums_a, grads.sums_d = sums_d;
  switch (device.kind) {
    case DeviceKind::cpu:
      selective_scan_backward_cpu(in, grads);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) selective_scan_backward_cuda(in, grads);
      else unsupported_device("selective_scan_backward", device);
      break;
  }
  back.set(kX, dx);
  back.set(kDelta, ddelta);
  back.set(kB, db);
  back.set(kC, dc);
  back.set(kState, dstate);
  set_gradient(back, kALog, da_log);
  set_gradient(back, kD, dd);
  set_gradient(back, kDeltaBias, ddelta_bias);
  scope.done({&dx, &ddelta, &db, &dc, &dstate, &da_log.tensor, &dd.tensor, &ddelta_bias.tensor});
}

void check_inputs(const Tensor& x, const Tensor& delta, const Tensor& b, const Tensor& c, const Tensor& a_log,
                  const Tensor& d, const Tensor& delta_bias, const SelectiveScanOptions& options) {
  const char* op = "selective_scan";
  const Dtype dtype = check_sequences(op, "x", x);
  const int64_t B = x.size(0), T = x.size(1), E = x.size(2);
  if (!b.defined() || b.rank() != 3 || b.size(2) < 1 || b.size(2) > kSelectiveMaxStates)
    fail("{}: b must be [B,T,N] with N in 1 .. {}; got {} (x is {})", op, kSelectiveMaxStates,
         b.defined() ? describe(b) : "an undefined tensor", describe(x));
  const int64_t N = b.size(2);
  expect_tensor(op, "delta", "[B,T,E]", delta, {B, T, E}, x.dtype(), x);
  expect_tensor(op, "b", "[B,T,N]", b, {B, T, N}, x.dtype(), x);
  expect_tensor(op, "c", "[B,T,N]", c, {B, T, N}, x.dtype(), x);
  expect_tensor(op, "a_log", "[E,N]", a_log, {E, N}, dtype, x);
  expect_tensor(op, "d", "[E]", d, {E}, dtype, x);
  expect_tensor(op, "delta_bias", "[E]", delta_bias, {E}, dtype, x);
  if (options.state.defined()) expect_tensor(op, "state", "[B,E,N]", options.state, {B, E, N}, dtype, x);
  if (!x.device().is_cpu() && N > kSelectiveCudaStates)
    fail("{}: on CUDA N may be at most {}; got {} (x is {})", op, kSelectiveCudaStates, N, describe(x));
  check_lengths_and_resets(op, options.lengths, options.resets, x);
}

}  // namespace

SelectiveScanResult selective_scan(const Tensor& x, const Tensor& delta, const Tensor& b, const Tensor& c,
                                   const Tensor& a_log, const Tensor& d, const Tensor& delta_bias,
                                   const SelectiveScanOptions& options) {
  check_inputs(x, delta, b, c, a_log, d, delta_bias, options);
  const int64_t B = x.size(0), T = x.size(1), E = x.size(2), N = b.size(2);
  OpScope scope("selective_scan", {&x, &delta, &b, &c, &a_log, &d, &delta_bias, &options.state},
                kForwardFlops * static_cast<double>(x.numel() * N));
  const Tensor rows[] = {unit_stride_values(x), unit_stride_values(delta), unit_stride_values(b),
                         unit_stride_values(c)};
  const Tensor parameters[] = {contiguous_values(a_log), contiguous_values(d), contiguous_values(delta_bias)};
  const Tensor state = contiguous_values(options.state), lengths = contiguous_values(options.lengths),
               resets = contiguous_values(options.resets);
  const SelectiveScanResult result{empty(x.shape(), x.dtype(), x.device()),
                                   empty({B, E, N}, a_log.dtype(), x.device())};
  auto node = record<SelectiveScanNode>({&x, &delta, &b, &c, &a_log, &d, &delta_bias, &options.state});
  const Tensor chunk_states = node ? empty({B, selective_scan_chunks(T), E, N}, a_log.dtype(), x.device()) : Tensor();
  const SelectiveScanArguments in{rows[0],
                                  rows[1],
                                  rows[2],
                                  rows[3],
                                  parameters[0],
                                  parameters[1],
                                  parameters[2],
                                  view_or_none(state),
                                  view_or_none(lengths),
                                  view_or_none(resets)};
  const SelectiveScanOutputs out{result.y, result.last_state, view_or_none(chunk_states)};
  switch (x.device().kind) {
    case DeviceKind::cpu:
      selective_scan_forward_cpu(in, out);
      break;
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) selective_scan_forward_cuda(in, out);
      else unsupported_device("selective_scan", x.device());
      break;
  }
  if (node) {
    node->x.save(rows[0]);
    node->delta.save(rows[1]);
    node->b.save(rows[2]);
    node->c.save(rows[3]);
    node->a_log.save(parameters[0]);
    node->d.save(parameters[1]);
    node->delta_bias.save(parameters[2]);
    node->lengths.save(lengths);
    node->resets.save(resets);
    node->chunk_states.save(chunk_states);
    node->attach({&result.y, &result.last_state});
  }
  scope.done({&result.y, &result.last_state});
  return result;
}

}  // namespace vigor
