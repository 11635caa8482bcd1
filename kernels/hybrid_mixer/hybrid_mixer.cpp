#include "kernels/hybrid_mixer/hybrid_mixer.h"

#include "autograd/node.h"
#include "kernels/hybrid_mixer/hybrid_mixer_kernels.h"
#include "kernels/sequence_arguments.h"
#include "tensor/op_scope.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

struct HybridMixerNode : Node {
  HybridMixerNode() : Node("hybrid_mixer") {}
  enum Input { kX, kWMix, kA, kB, kC, kSkipD, kH0, kS0 };
  SavedTensor x{this, "x"}, w_mix{this, "w_mix"}, ssm_a{this, "A"}, ssm_b{this, "B"}, ssm_c{this, "C"};
  SavedTensor skip_d{this, "D"}, h0{this, "h0"}, s0{this, "s0"}, lengths{this, "lengths"}, resets{this, "resets"};
  SavedTensor s{this, "s"}, h_chunks{this, "h_chunks"};  // h_chunks: CUDA

  void backward(Backward& b) override;
};

HybridMixerInputs views(const Tensor& x, const Tensor& w_mix, const Tensor& ssm_a, const Tensor& ssm_b,
                        const Tensor& ssm_c, const Tensor& skip_d, const HybridMixerOptions& options) {
  return {x,
          w_mix,
          ssm_a,
          ssm_b,
          ssm_c,
          skip_d,
          view_or_none(options.h0),
          view_or_none(options.s0),
          view_or_none(options.lengths),
          view_or_none(options.resets)};
}

// Floating-point operations of the forward pass: U, A s, S C^T and the element-wise scan.
double forward_flops(const Tensor& x, int64_t n) {
  const double d = static_cast<double>(x.size(2)), width = static_cast<double>(n);
  return static_cast<double>(x.size(0) * x.size(1)) * (4 * d * width + 2 * width * width + 5 * d);
}

// Work space, tensors that live until the launches are made.
struct Scratch {
  int64_t B, T, d, n;
  Dtype dtype;  // of states
  Device device;

  Tensor make(const Shape& sizes) const { return empty(sizes, dtype, device); }
  // The product that feeds a scan over states: `states` itself, or partial sums.
  Tensor products(const Tensor& states) const {
    const int64_t splits = hybrid_mixer_splits(B * chunks(), d);
    return splits > 1 ? make({splits, B, T, n}) : states.with_view(*reshaped(states, {1, B, T, n}));
  }
  int64_t chunks() const { return hybrid_mixer_chunks(T); }
};

void forward_on_cuda(const HybridMixerInputs& in, const HybridMixerOutputs& out, const Scratch& scratch,
                     const Tensor& s, const Tensor& h_chunks) {
  const Tensor products = scratch.products(s), powers = scratch.make({3, scratch.n, scratch.n}),
               s_chunks = scratch.make({scratch.B, scratch.chunks(), scratch.n});
  HybridMixerWork work;
  work.products = products, work.powers = powers, work.s_chunks = s_chunks, work.h_chunks = h_chunks;
  if constexpr (kCudaBuild) hybrid_mixer_forward_cuda(in, out, work);
  else unsupported_device("hybrid_mixer", scratch.device);
}

void backward_on_cuda(const HybridMixerInputs& in, HybridMixerGradients grads, const Scratch& scratch,
                      const Tensor& h_chunks) {
  const auto& [B, T, d, n, dtype, device] = scratch;
  const int64_t slices = hybrid_mixer_slices(B * scratch.chunks());
  const Tensor g = scratch.make({B, T, n}), products = scratch.products(g), powers = scratch.make({3, n, n}),
               q_chunks = scratch.make({B, scratch.chunks(), d}), s_chunks = scratch.make({B, scratch.chunks(), n}),
               sums = scratch.make({slices, 2 * n + 2, d}), matrix_sums = scratch.make({slices, n, n});
  HybridMixerWork work;
  grads.g = g, work.products = products, work.powers = powers, work.h_chunks = h_chunks, work.q_chunks = q_chunks;
  work.s_chunks = s_chunks, work.sums = sums, work.matrix_sums = matrix_sums;
  if constexpr (kCudaBuild) hybrid_mixer_backward_cuda(in, grads, work);
  else unsupported_device("hybrid_mixer_backward", device);
}

void backward_on_cpu(const HybridMixerInputs& in, HybridMixerGradients grads, const Scratch& scratch) {
  const auto& [B, T, d, n, dtype, device] = scratch;
  const Tensor g = scratch.make({B, T, n}), s_previous = scratch.make({B, T, n}), h = scratch.make({T, d}),
               a_packed = scratch.make({n, hybrid_mixer_packed_columns(n)});
  grads.g = g, grads.s_previous = s_previous, grads.h = h, grads.a_packed = a_packed;
  hybrid_mixer_backward_cpu(in, grads);
}

void HybridMixerNode::backward(Backward& b) {
  const Tensor dy = contiguous_values(b.grad_or_zeros(0));
  const Tensor dh_last = contiguous_values(b.grad(1)), ds_last = contiguous_values(b.grad(2));
  const int64_t B = dy.size(0), T = dy.size(1), d = dy.size(2), n = s.get().size(2);
  const Dtype state_dtype = s.get().dtype();
  OpScope scope("hybrid_mixer_backward", {&dy, &dh_last, &ds_last, &x.get(), &s.get()}, 2 * forward_flops(dy, n));

  const Tensor dx = empty(dy.shape(), dy.dtype(), dy.device());
  const Tensor dh0 = b.needs(kH0) ? empty({B, d}, state_dtype, dy.device()) : Tensor();
  const Tensor ds0 = b.needs(kS0) ? empty({B, n}, state_dtype, dy.device()) : Tensor();
  const Backward::Target da = wanted_target(b, kA, {n, n}, state_dtype, dy.device());
  const Backward::Target db = wanted_target(b, kB, {n, d}, state_dtype, dy.device());
  const Backward::Target dc = wanted_target(b, kC, {d, n}, state_dtype, dy.device());
  const Backward::Target dw_mix = b.target(kWMix, {d}, state_dtype, dy.device());
  const Backward::Target dskip_d = b.target(kSkipD, {d}, state_dtype, dy.device());
  // w_mix and D may be one tensor, with one gradient buffer. Their sums are made side by side, so D's are added later.
  const bool shared = dw_mix.tensor.raw() == dskip_d.tensor.raw();
  const Tensor skip_sums = shared ? empty({d}, state_dtype, dy.device()) : dskip_d.tensor;

  const HybridMixerInputs in = views(x.get(), w_mix.get(), ssm_a.get(), ssm_b.get(), ssm_c.get(), skip_d.get(),
                                     {h0.get(), s0.get(), lengths.get(), resets.get()});
  HybridMixerGradients grads;
  grads.dy = dy, grads.dh_last = view_or_none(dh_last), grads.ds_last = view_or_none(ds_last), grads.s = s.get();
  grads.dx = dx, grads.dh0 = view_or_none(dh0), grads.ds0 = view_or_none(ds0);
  grads.dw_mix = gradient_view(dw_mix), grads.dskip_d = {skip_sums, dskip_d.accumulate && !shared};
  grads.da = gradient_view(da), grads.db = gradient_view(db), grads.dc = gradient_view(dc);
  const Scratch scratch{B, T, d, n, state_dtype, dy.device()};
  switch (dy.device().kind) {
    case DeviceKind::cpu:
      backward_on_cpu(in, grads, scratch);
      break;
    case DeviceKind::cuda:
      backward_on_cuda(in, grads, scratch, h_chunks.get());
      break;
  }
  if (shared) accumulate(dskip_d.tensor, skip_sums);
  b.set(kX, dx);
  b.set(kH0, dh0);
  b.set(kS0, ds0);
  set_gradient(b, kWMix, dw_mix);
  set_gradient(b, kSkipD, dskip_d);
  set_gradient(b, kA, da);
  set_gradient(b, kB, db);
  set_gradient(b, kC, dc);
  scope.done({&dx, &dh0, &ds0, &dw_mix.tensor, &da.tensor, &db.tensor, &dc.tensor, &dskip_d.tensor});
}

void check_inputs(const Tensor& x, const Tensor& w_mix, const Tensor& ssm_a, const Tensor& ssm_b, const Tensor& ssm_c,
                  const Tensor& skip_d, const HybridMixerOptions& options) {
  check(x.defined() && ssm_a.defined(), "hybrid_mixer: x and A must be tensors; got an undefined one");
  if (x.rank() != 3 || x.numel() == 0) fail("hybrid_mixer: x must be [B,T,d], none of them 0; got {}", describe(x));
  const Dtype dtype = visit_float(x.dtype(), "hybrid_mixer", []<class X>() { return dtype_of<Accumulator<X>>; });
  if (ssm_a.rank() != 2 || ssm_a.numel() == 0) fail("hybrid_mixer: A must be [n,n]; got {}", describe(ssm_a));
  const int64_t B = x.size(0), d = x.size(2), n = ssm_a.size(0);
  const auto expect = [&](const char* name, const char* letters, const Tensor& tensor, const Shape& shape) {
    expect_tensor("hybrid_mixer", name, letters, tensor, shape, dtype, x);
  };
  expect("w_mix", "[d]", w_mix, {d});
  expect("A", "[n,n]", ssm_a, {n, n});
  expect("B", "[n,d]", ssm_b, {n, d});
  expect("C", "[d,n]", ssm_c, {d, n});
  expect("D", "[d]", skip_d, {d});
  if (options.h0.defined()) expect("h0", "[B,d]", options.h0, {B, d});
  if (options.s0.defined()) expect("s0", "[B,n]", options.s0, {B, n});
  if (!x.device().is_cpu() && (n > kHybridMaxStates || x.dtype() == Dtype::f64))
    fail("hybrid_mixer: on CUDA x must be f32 or bf16, and n at most {}; got n={} (x is {})", kHybridMaxStates, n,
         describe(x));
  check_lengths_and_resets("hybrid_mixer", options.lengths, options.resets, x);
}

}  // namespace

HybridMixerResult hybrid_mixer(const Tensor& x, const Tensor& w_mix, const Tensor& ssm_a, const Tensor& ssm_b,
                               const Tensor& ssm_c, const Tensor& skip_d, const HybridMixerOptions& options) {
  check_inputs(x, w_mix, ssm_a, ssm_b, ssm_c, skip_d, options);
  const int64_t B = x.size(0), T = x.size(1), d = x.size(2), n = ssm_a.size(0);
  OpScope scope("hybrid_mixer", {&x, &w_mix, &ssm_a, &ssm_b, &ssm_c, &skip_d, &options.h0, &options.s0},
                forward_flops(x, n));
  const Tensor values[] = {contiguous_values(x),     contiguous_values(w_mix), contiguous_values(ssm_a),
                           contiguous_values(ssm_b), contiguous_values(ssm_c), contiguous_values(skip_d)};
  const HybridMixerOptions option_values{contiguous_values(options.h0), contiguous_values(options.s0),
                                         contiguous_values(options.lengths), contiguous_values(options.resets)};
  const Dtype state_dtype = ssm_a.dtype();
  const HybridMixerResult result{empty(x.shape(), x.dtype(), x.device()), empty({B, d}, state_dtype, x.device()),
                                 empty({B, n}, state_dtype, x.device())};
  const Tensor s = empty({B, T, n}, state_dtype, x.device());
  const Scratch scratch{B, T, d, n, state_dtype, x.device()};
  const HybridMixerInputs in = views(values[0], values[1], values[2], values[3], values[4], values[5], option_values);
  HybridMixerOutputs out{result.y, result.h_last, result.s_last, s, {}};
  Tensor h_chunks;
  switch (x.device().kind) {
    case DeviceKind::cpu: {
      const Tensor a_packed = scratch.make({n, hybrid_mixer_packed_columns(n)});
      out.a_packed = a_packed;
      hybrid_mixer_forward_cpu(in, out);
      break;
    }
    case DeviceKind::cuda:
      h_chunks = scratch.make({B, scratch.chunks(), d});
      forward_on_cuda(in, out, scratch, s, h_chunks);
      break;
  }
  if (auto node = record<HybridMixerNode>({&x, &w_mix, &ssm_a, &ssm_b, &ssm_c, &skip_d, &options.h0, &options.s0})) {
    node->x.save(values[0]);
    node->w_mix.save(values[1]);
    node->ssm_a.save(values[2]);
    node->ssm_b.save(values[3]);
    node->ssm_c.save(values[4]);
    node->skip_d.save(values[5]);
    node->h0.save(option_values.h0);
    node->s0.save(option_values.s0);
    node->lengths.save(option_values.lengths);
    node->resets.save(option_values.resets);
    node->s.save(s);
    node->h_chunks.save(h_chunks);
    node->attach({&result.y, &result.h_last, &result.s_last});
  }
  scope.done({&result.y, &result.h_last, &result.s_last});
  return result;
}

}  // namespace vigor
