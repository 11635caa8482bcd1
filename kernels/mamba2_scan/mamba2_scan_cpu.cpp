#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/block_sums.h"
#include "kernels/mamba2_scan/mamba2_scan_kernels.h"
#include "kernels/sequence_batch.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

struct Sizes {
  int64_t B, T, H, P, G, N, group;  // group: heads that read one B and C
  explicit Sizes(const Mamba2ScanInputs& in)
      : B(in.x.sizes[0]),
        T(in.x.sizes[1]),
        H(in.x.sizes[2]),
        P(in.x.sizes[3]),
        G(in.ssm_b.sizes[2]),
        N(in.ssm_b.sizes[3]),
        group(H / G) {}
};

// ---- the definition, one step at a time ----

template <class T>
double number(T value) {
  return static_cast<double>(static_cast<Accumulator<T>>(value));
}

template <class T>
T rounded(double value) {
  return T(static_cast<Accumulator<T>>(value));
}

// Row t of head (or group) h in sequence b, of a view [B,T,H,..].
template <class T>
T* row(const TensorView& x, int64_t b, int64_t t, int64_t h) {
  return x.as<std::remove_const_t<T>>() + b * x.strides[0] + t * x.strides[1] + h * x.strides[2];
}

// dt'_t of a head, its derivative for dt_t, and the decay.
struct Step {
  double dt, slope, decay;
};

template <class X, class S>
Step step_of(const Mamba2ScanInputs& in, int64_t b, int64_t t, int64_t h) {
  const double u = number(*row<const X>(in.dt, b, t, h)) + in.dt_bias.as<S>()[h];
  const double softplus = u > 20 ? u : std::log1p(std::exp(u));
  const double slope = u > 20 ? 1 : 1 / (1 + std::exp(-u));
  const double dt = std::min(std::max(softplus, in.dt_min), in.dt_max);
  return {dt, dt == softplus ? slope : 0, std::exp(-std::exp(number(in.a_log.as<S>()[h])) * dt)};
}

// What the state before the first step of (b, h) is, written to s.
template <class S>
void initial_state(const Mamba2ScanInputs& in, int64_t b, int64_t h, S* s) {
  const Sizes n(in);
  const int64_t size = n.P * n.N;
  if (in.state.defined()) std::copy_n(in.state.as<S>() + (b * n.H + h) * size, size, s);
  else std::fill_n(s, size, S(0));
}

// S_t from S_{t-1}; `after` may be `before`.
template <class X, class S>
void advance(const Mamba2ScanInputs& in, int64_t b, int64_t t, int64_t h, bool reset, const S* before, S* after) {
  const Sizes n(in);
  const Step step = step_of<X, S>(in, b, t, h);
  const X *x = row<const X>(in.x, b, t, h), *ssm_b = row<const X>(in.ssm_b, b, t, h / n.group);
  for (int64_t p = 0; p < n.P; ++p)
    for (int64_t k = 0; k < n.N; ++k)
      after[p * n.N + k] =
          S((reset ? 0 : step.decay * before[p * n.N + k]) + step.dt * number(x[p]) * number(ssm_b[k]));
}

bool is_reset(const SequenceSteps& steps, int64_t t) { return steps.resets != nullptr && steps.resets[t] != 0; }

template <class X, class S>
void forward_naive(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out) {
  const Sizes n(in);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t h = 0; h < n.H; ++h) {
      const SequenceSteps steps = steps_of(in.lengths, in.resets, b, n.T);
      S* s = out.last_state.as<S>() + (b * n.H + h) * n.P * n.N;
      initial_state(in, b, h, s);
      for (int64_t t = 0; t < n.T; ++t) {
        X* y = row<X>(out.y, b, t, h);
        std::fill_n(y, n.P, X(0));
        if (t >= steps.length) continue;
        advance<X>(in, b, t, h, is_reset(steps, t), s, s);
        const X *x = row<const X>(in.x, b, t, h), *ssm_c = row<const X>(in.ssm_c, b, t, h / n.group);
        for (int64_t p = 0; p < n.P; ++p) {
          S sum = in.skip_d.as<S>()[h] * S(x[p]);
          for (int64_t k = 0; k < n.N; ++k) sum += s[p * n.N + k] * S(ssm_c[k]);
          y[p] = rounded<X>(sum);
        }
      }
    }
}

// Step t of the backward pass. g [P,N]: in e_{t+1} g_{t+1}, the gradient that reaches S_t from later steps, out
// e_t g_t. sums: da_log, dD and ddt_bias of the head, added to.
template <class X, class S>
void backward_step(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, int64_t b, int64_t t, int64_t h,
                   bool reset, const S* before, const S* state, S* g, S* sums) {
  const Sizes n(in);
  const Step step = step_of<X, S>(in, b, t, h);
  const double a = -std::exp(number(in.a_log.as<S>()[h])), decay = reset ? 0 : step.decay;
  const X *x = row<const X>(in.x, b, t, h), *dy = row<const X>(grads.dy, b, t, h);
  const X *ssm_b = row<const X>(in.ssm_b, b, t, h / n.group), *ssm_c = row<const X>(in.ssm_c, b, t, h / n.group);
  X *dx = row<X>(grads.dx, b, t, h), *db = row<X>(grads.db, b, t, h / n.group),
    *dc = row<X>(grads.dc, b, t, h / n.group);
  double ddt = 0, r = 0;
  for (int64_t p = 0; p < n.P; ++p) {
    double g_b = 0;
    for (int64_t k = 0; k < n.N; ++k) {
      const int64_t i = p * n.N + k;
      const double g_i = g[i] + number(dy[p]) * number(ssm_c[k]);
      g_b += g_i * number(ssm_b[k]);
      r += decay * g_i * before[i];
      db[k] = rounded<X>(number(db[k]) + step.dt * g_i * number(x[p]));
      dc[k] = rounded<X>(number(dc[k]) + number(state[i]) * number(dy[p]));
      g[i] = S(decay * g_i);
    }
    dx[p] = rounded<X>(step.dt * g_b + in.skip_d.as<S>()[h] * number(dy[p]));
    ddt += number(x[p]) * g_b;
    sums[n.H] += S(number(dy[p]) * number(x[p]));
  }
  const double through_dt = (ddt + a * r) * step.slope;
  *row<X>(grads.ddt, b, t, h) = rounded<X>(through_dt);
  sums[0] += S(a * step.dt * r);
  sums[2 * n.H] += S(through_dt);
}

// scratch: [B,3,H] sums for the parameters, then g [P,N] and S_{-1} .. S_{T-1} [T+1,P,N] of one head.
template <class X, class S>
void backward_naive(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, const TensorView& sums, S* scratch) {
  const Sizes n(in);
  const int64_t size = n.P * n.N;
  S *g = scratch, *states = scratch + size;
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t h = 0; h < n.H; ++h) {
      const SequenceSteps steps = steps_of(in.lengths, in.resets, b, n.T);
      initial_state(in, b, h, states);
      for (int64_t t = 0; t < steps.length; ++t)
        advance<X>(in, b, t, h, is_reset(steps, t), states + t * size, states + (t + 1) * size);
      if (grads.dlast_state.defined()) std::copy_n(grads.dlast_state.as<S>() + (b * n.H + h) * size, size, g);
      else std::fill_n(g, size, S(0));
      for (int64_t t = steps.length - 1; t >= 0; --t)
        backward_step<X>(in, grads, b, t, h, is_reset(steps, t), states + t * size, states + (t + 1) * size, g,
                         sums.as<S>() + b * 3 * n.H + h);
      if (grads.dstate.defined()) std::copy_n(g, size, grads.dstate.as<S>() + (b * n.H + h) * size);
    }
}

}  // namespace

Shape mamba2_scan_chunk_states_cpu(const Mamba2ScanInputs&) { return {}; }

int64_t mamba2_scan_forward_scratch_cpu(const Mamba2ScanInputs&) { return 0; }

int64_t mamba2_scan_backward_scratch_cpu(const Mamba2ScanInputs& in) {
  const Sizes n(in);
  return n.B * 3 * n.H + (n.T + 2) * n.P * n.N;
}

void mamba2_scan_forward_cpu(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out, const TensorView&) {
  visit_float(in.x.dtype, "mamba2_scan", [&]<class X>() { forward_naive<X, Accumulator<X>>(in, out); });
}

void mamba2_scan_backward_cpu(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, const TensorView& scratch) {
  const Sizes n(in);
  const Shape sizes{n.B, 3, n.H};
  const TensorView sums{scratch.data, sizes, contiguous_strides(sizes), scratch.dtype, scratch.device};
  for (const TensorView& zeroed : {grads.dx, grads.ddt, grads.db, grads.dc, sums}) fill(zeroed, 0);
  visit_float(in.x.dtype, "mamba2_scan", [&]<class X>() {
    using S = Accumulator<X>;
    backward_naive<X, S>(in, grads, sums, scratch.as<S>() + sums.numel());
  });
  add_blocks(grads.da_log, sums, 0);
  add_blocks(grads.dskip_d, sums, 1);
  add_blocks(grads.ddt_bias, sums, 2);
}

}  // namespace vigor
