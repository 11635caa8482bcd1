#include "kernels/mamba2_scan/mamba2_scan.h"

#include <algorithm>

#include "autograd/node.h"
#include "kernels/mamba2_scan/mamba2_scan_kernels.h"
#include "kernels/mamba2_scan/mamba2_scan_simd.h"
#include "kernels/sequence_arguments.h"
#include "tensor/op_scope.h"

namespace vigor {
namespace {

constexpr const char* kOp = "mamba2_scan";

struct Mamba2ScanNode : Node {
  Mamba2ScanNode() : Node(kOp) {}
  enum Input { kX, kDt, kB, kC, kALog, kSkipD, kDtBias, kState };
  SavedTensor x{this, "x"}, dt{this, "dt"}, ssm_b{this, "B"}, ssm_c{this, "C"};
  SavedTensor a_log{this, "a_log"}, skip_d{this, "D"}, dt_bias{this, "dt_bias"};
  SavedTensor state{this, "state"}, lengths{this, "lengths"}, resets{this, "resets"};
  SavedTensor chunk_states{this, "chunk_states"};
  double dt_min = 0, dt_max = 0;

  void backward(Backward& b) override;
};

// The floating-point operations of the matrix products of the chunked form: two for every multiply-add, of triangular
// matrices only the triangle. Exponentials and what is element by element are not counted.
struct ProductFlops {
  double forward = 0, backward = 0;

  ProductFlops(const TensorView& x, const TensorView& b, bool has_first_state) {
    const int64_t T = x.sizes[1];
    const double P = static_cast<double>(x.sizes[3]), N = static_cast<double>(b.sizes[3]);
    const double heads = static_cast<double>(x.sizes[0] * x.sizes[2]);
    const double groups = static_cast<double>(b.sizes[0] * b.sizes[2]) * N;
    for (int64_t first = 0; first < T; first += kMamba2Chunk) {
      const double q = static_cast<double>(std::min(kMamba2Chunk, T - first));
      const double triangle = q * (q + 1), square = 2 * q * P * N;
      const bool has_state = first > 0 || has_first_state, has_later = first + kMamba2Chunk < T;  // else zero
      forward += groups * triangle;                                                               // C B^T
      forward += heads * triangle * P;                                                            // (M * C B^T * dt') X
      forward += heads * square * (has_state ? 2 : 1);   // the next state; C S^T
      backward += groups * triangle * 3;                 // C B^T, and from its gradient dB and dC
      backward += heads * triangle * P * 2;              // dY X^T, (M * C B^T)^T dY
      backward += heads * square * (has_state ? 2 : 0);  // dC = S dY^T, and the gradient of S
      backward += heads * square * (has_later ? 2 : 0);  // through the gradient G of the later state: B G^T, G X^T
    }
  }
};

void Mamba2ScanNode::backward(Backward& b) {
  const Tensor dy = unit_stride_values(b.grad_or_zeros(0)), dlast_state = contiguous_values(b.grad(1));
  const Device device = dy.device();
  const int64_t H = dy.size(2);
  const Dtype state_dtype = a_log.get().dtype();
  const Mamba2ScanInputs in{x.get(),
                            dt.get(),
                            ssm_b.get(),
                            ssm_c.get(),
                            a_log.get(),
                            skip_d.get(),
                            dt_bias.get(),
                            view_or_none(state.get()),
                            view_or_none(lengths.get()),
                            view_or_none(resets.get()),
                            dt_min,
                            dt_max};
  OpScope scope("mamba2_scan_backward", {&dy, &dlast_state, &x.get(), &dt.get(), &ssm_b.get(), &ssm_c.get()},
                ProductFlops(in.x, in.ssm_b, state.get().defined()).backward);

  const Tensor dx = empty(in.x.sizes, dy.dtype(), device), ddt = empty(in.dt.sizes, dy.dtype(), device);
  const Tensor db = empty(in.ssm_b.sizes, dy.dtype(), device), dc = empty(in.ssm_c.sizes, dy.dtype(), device);
  const Shape state_sizes{dy.size(0), H, dy.size(3), in.ssm_b.sizes[3]};
  const Tensor dstate = b.needs(kState) ? empty(state_sizes, state_dtype, device) : Tensor();
  const Backward::Target da_log = b.target(kALog, {H}, state_dtype, device);
  const Backward::Target dskip_d = b.target(kSkipD, {H}, state_dtype, device);
  const Backward::Target ddt_bias = b.target(kDtBias, {H}, state_dtype, device);
  const Mamba2ScanGradients grads{dy,
                                  view_or_none(dlast_state),
                                  view_or_none(chunk_states.get()),
                                  dx,
                                  ddt,
                                  db,
                                  dc,
                                  view_or_none(dstate),
                                  gradient_view(da_log),
                                  gradient_view(dskip_d),
                                  gradient_view(ddt_bias)};
  switch (device.kind) {
    case DeviceKind::cpu: {
      const Tensor scratch = empty({mamba2_scan_backward_scratch_cpu(in)}, state_dtype);
      mamba2_scan_backward_cpu(in, grads, scratch);
      break;
    }
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) {
        const Tensor scratch = empty({mamba2_scan_backward_scratch_cuda(in)}, state_dtype, device);
        mamba2_scan_backward_cuda(in, grads, scratch);
      } else {
        unsupported_device("mamba2_scan_backward", device);
      }
      break;
  }
  b.set(kX, dx);
  b.set(kDt, ddt);
  b.set(kB, db);
  b.set(kC, dc);
  b.set(kALog, da_log);
  b.set(kSkipD, dskip_d);
  b.set(kDtBias, ddt_bias);
  b.set(kState, dstate);
  scope.done({&dx, &ddt, &db, &dc, &da_log.tensor, &dskip_d.tensor, &ddt_bias.tensor, &dstate});
}

void check_inputs(const Tensor& x, const Tensor& dt, const Tensor& ssm_b, const Tensor& ssm_c, const Tensor& a_log,
                  const Tensor& skip_d, const Tensor& dt_bias, const Mamba2ScanOptions& options) {
  check(x.defined() && ssm_b.defined(), "mamba2_scan: x and B must be tensors; got an undefined one");
  if (x.rank() != 4 || x.numel() == 0) fail("mamba2_scan: x must be [B,T,H,P], none of them 0; got {}", describe(x));
  const int64_t B = x.size(0), T = x.size(1), H = x.size(2), P = x.size(3);
  if (ssm_b.rank() != 4 || ssm_b.numel() == 0 || H % ssm_b.size(2) != 0)
    fail("mamba2_scan: B must be [B,T,G,N], none of them 0, with G a divisor of H={}; got {} (x is {})", H,
         describe(ssm_b), describe(x));
  const int64_t G = ssm_b.size(2), N = ssm_b.size(3);
  const Dtype dtype = recurrence_dtype(kOp, "x", x);
  expect_tensor(kOp, "dt", "[B,T,H]", dt, {B, T, H}, x.dtype(), x);
  expect_tensor(kOp, "B", "[B,T,G,N]", ssm_b, {B, T, G, N}, x.dtype(), x);
  expect_tensor(kOp, "C", "[B,T,G,N]", ssm_c, {B, T, G, N}, x.dtype(), x);
  expect_tensor(kOp, "a_log", "[H]", a_log, {H}, dtype, x);
  expect_tensor(kOp, "D", "[H]", skip_d, {H}, dtype, x);
  expect_tensor(kOp, "dt_bias", "[H]", dt_bias, {H}, dtype, x);
  if (options.state.defined()) expect_tensor(kOp, "state", "[B,H,P,N]", options.state, {B, H, P, N}, dtype, x);
  check_lengths_and_resets(kOp, options.lengths, options.resets, x);
  check(options.dt_min >= 0 && options.dt_min <= options.dt_max,
        "mamba2_scan: limits of dt must be 0 <= dt_min <= dt_max; got {} and {}", options.dt_min, options.dt_max);
}

}  // namespace

Mamba2ScanResult mamba2_scan(const Tensor& x, const Tensor& dt, const Tensor& ssm_b, const Tensor& ssm_c,
                             const Tensor& a_log, const Tensor& skip_d, const Tensor& dt_bias,
                             const Mamba2ScanOptions& options) {
  check_inputs(x, dt, ssm_b, ssm_c, a_log, skip_d, dt_bias, options);
  const Device device = x.device();
  OpScope scope(kOp, {&x, &dt, &ssm_b, &ssm_c, &a_log, &skip_d, &dt_bias, &options.state},
                ProductFlops(x.view(), ssm_b.view(), options.state.defined()).forward);
  const Tensor x_values = unit_stride_values(x), b_values = unit_stride_values(ssm_b),
               c_values = unit_stride_values(ssm_c), dt_values = dt.without_slot();
  const Tensor a_log_values = contiguous_values(a_log), d_values = contiguous_values(skip_d),
               bias_values = contiguous_values(dt_bias), state_values = contiguous_values(options.state),
               lengths = contiguous_values(options.lengths), resets = contiguous_values(options.resets);
  const Mamba2ScanInputs in{x_values,
                            dt_values,
                            b_values,
                            c_values,
                            a_log_values,
                            d_values,
                            bias_values,
                            view_or_none(state_values),
                            view_or_none(lengths),
                            view_or_none(resets),
                            options.dt_min,
                            options.dt_max};
  const Mamba2ScanResult result{empty(x.shape(), x.dtype(), device),
                                empty({x.size(0), x.size(2), x.size(3), ssm_b.size(3)}, a_log.dtype(), device)};
  auto node = record<Mamba2ScanNode>({&x, &dt, &ssm_b, &ssm_c, &a_log, &skip_d, &dt_bias, &options.state});
  Tensor chunk_states;
  switch (device.kind) {
    case DeviceKind::cpu: {
      const Shape sizes = mamba2_scan_chunk_states_cpu(in);
      if (node && sizes.rank() > 0) chunk_states = empty(sizes, a_log.dtype());
      const Tensor scratch = empty({mamba2_scan_forward_scratch_cpu(in)}, a_log.dtype());
      mamba2_scan_forward_cpu(in, {result.y, result.last_state, view_or_none(chunk_states)}, scratch);
      break;
    }
    case DeviceKind::cuda:
      if constexpr (kCudaBuild) {
        const Mamba2ScanSizes n(in);
        Tensor scratch;
        if (node || n.T > 1) {
          chunk_states = empty({n.B, mamba2_scan_chunks_cuda(in), n.H, n.P, n.N}, a_log.dtype(), device);
          scratch = empty({mamba2_scan_forward_scratch_cuda(in)}, a_log.dtype(), device);
        }
        mamba2_scan_forward_cuda(in, {result.y, result.last_state, view_or_none(chunk_states)}, view_or_none(scratch));
      } else {
        unsupported_device(kOp, device);
      }
      break;
  }
  if (node) {
    node->x.save(x_values);
    node->dt.save(dt_values);
    node->ssm_b.save(b_values);
    node->ssm_c.save(c_values);
    node->a_log.save(a_log_values);
    node->skip_d.save(d_values);
    node->dt_bias.save(bias_values);
    node->state.save(state_values);
    node->lengths.save(lengths);
    node->resets.save(resets);
    node->chunk_states.save(chunk_states);
    node->dt_min = options.dt_min;
    node->dt_max = options.dt_max;
    node->attach({&result.y, &result.last_state});
  }
  scope.done({&result.y, &result.last_state});
  return result;
}

}  // namespace vigor
