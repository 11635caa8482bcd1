// The definition, one step and one number at a time: f64, for gradient checks and as what the fast code is held
// against.
#include <algorithm>
#include <cmath>

#include "kernels/mamba2_scan/mamba2_scan_kernels.h"
#include "kernels/sequence_batch.h"
#include "tensor/primitives.h"

namespace vigor {
namespace {

// Row t of head (or group) h in sequence b, of a view [B,T,H,..].
double* row(const TensorView& x, int64_t b, int64_t t, int64_t h) {
  return x.as<double>() + b * x.strides[0] + t * x.strides[1] + h * x.strides[2];
}

// dt'_t of a head, its derivative for dt_t, and the decay.
struct Step {
  double dt, slope, decay;
};

Step step_of(const Mamba2ScanInputs& in, int64_t b, int64_t t, int64_t h) {
  const double raw = *row(in.dt, b, t, h) + in.dt_bias.as<double>()[h];
  const double softplus = raw > 20 ? raw : std::log1p(std::exp(raw));
  const double slope = raw > 20 ? 1 : 1 / (1 + std::exp(-raw));
  const double dt = std::min(std::max(softplus, in.dt_min), in.dt_max);
  return {dt, dt == softplus ? slope : 0, std::exp(-std::exp(in.a_log.as<double>()[h]) * dt)};
}

void initial_state(const Mamba2ScanInputs& in, int64_t b, int64_t h, double* s) {
  const Mamba2ScanSizes n(in);
  if (in.state.defined()) std::copy_n(in.state.as<double>() + (b * n.H + h) * n.P * n.N, n.P * n.N, s);
  else std::fill_n(s, n.P * n.N, 0.0);
}

// S_t from S_{t-1}; `after` may be `before`.
void advance(const Mamba2ScanInputs& in, int64_t b, int64_t t, int64_t h, bool reset, const double* before,
             double* after) {
  const Mamba2ScanSizes n(in);
  const Step step = step_of(in, b, t, h);
  const double *x = row(in.x, b, t, h), *ssm_b = row(in.ssm_b, b, t, h / n.group);
  for (int64_t p = 0; p < n.P; ++p)
    for (int64_t k = 0; k < n.N; ++k) {
      const int64_t i = p * n.N + k;
      after[i] = (reset ? 0 : step.decay * before[i]) + step.dt * x[p] * ssm_b[k];
    }
}

// Step t of the backward pass. g [P,N]: in e_{t+1} g_{t+1}, what reaches S_t from later steps, out e_t g_t. sums:
// da_log, dD and ddt_bias of the head, H apart, added to.
void backward_step(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, int64_t b, int64_t t, int64_t h,
                   bool reset, const double* before, const double* state, double* g, double* sums) {
  const Mamba2ScanSizes n(in);
  const Step step = step_of(in, b, t, h);
  const double a = -std::exp(in.a_log.as<double>()[h]), decay = reset ? 0 : step.decay;
  const double *x = row(in.x, b, t, h), *dy = row(grads.dy, b, t, h);
  const double *ssm_b = row(in.ssm_b, b, t, h / n.group), *ssm_c = row(in.ssm_c, b, t, h / n.group);
  double *dx = row(grads.dx, b, t, h), *db = row(grads.db, b, t, h / n.group), *dc = row(grads.dc, b, t, h / n.group);
  double dot = 0, r = 0;
  for (int64_t p = 0; p < n.P; ++p) {
    double g_b = 0;
    for (int64_t k = 0; k < n.N; ++k) {
      const int64_t i = p * n.N + k;
      const double g_i = g[i] + dy[p] * ssm_c[k];
      g_b += g_i * ssm_b[k];
      r += decay * g_i * before[i];
      db[k] += step.dt * g_i * x[p];
      dc[k] += state[i] * dy[p];
      g[i] = decay * g_i;
    }
    dx[p] = step.dt * g_b + in.skip_d.as<double>()[h] * dy[p];
    dot += x[p] * g_b;
    sums[n.H] += dy[p] * x[p];
  }
  const double ddt = (dot + a * r) * step.slope;
  *row(grads.ddt, b, t, h) = ddt;
  sums[0] += a * step.dt * r;
  sums[2 * n.H] += ddt;
}

}  // namespace

void mamba2_scan_forward_naive(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out) {
  const Mamba2ScanSizes n(in);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t h = 0; h < n.H; ++h) {
      const SequenceSteps steps = steps_of(in.lengths, in.resets, b, n.T);
      double* s = out.last_state.as<double>() + (b * n.H + h) * n.P * n.N;
      initial_state(in, b, h, s);
      for (int64_t t = 0; t < n.T; ++t) {
        double* y = row(out.y, b, t, h);
        std::fill_n(y, n.P, 0.0);
        if (t >= steps.length) continue;
        advance(in, b, t, h, steps.is_reset(t), s, s);
        const double *x = row(in.x, b, t, h), *ssm_c = row(in.ssm_c, b, t, h / n.group);
        for (int64_t p = 0; p < n.P; ++p) {
          y[p] = in.skip_d.as<double>()[h] * x[p];
          for (int64_t k = 0; k < n.N; ++k) y[p] += s[p * n.N + k] * ssm_c[k];
        }
      }
    }
}

int64_t mamba2_scan_backward_naive_scratch(const Mamba2ScanInputs& in) {
  const Mamba2ScanSizes n(in);
  return (n.T + 2) * n.P * n.N;
}

void mamba2_scan_backward_naive(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, const TensorView& sums,
                                double* scratch) {
  const Mamba2ScanSizes n(in);
  const int64_t size = n.P * n.N;
  double *g = scratch, *states = scratch + size;  // states: S_{-1} .. S_{T-1} of one head
  for (const TensorView& summed : {grads.dx, grads.ddt, grads.db, grads.dc, sums}) fill(summed, 0);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t h = 0; h < n.H; ++h) {
      const SequenceSteps steps = steps_of(in.lengths, in.resets, b, n.T);
      initial_state(in, b, h, states);
      for (int64_t t = 0; t < steps.length; ++t)
        advance(in, b, t, h, steps.is_reset(t), states + t * size, states + (t + 1) * size);
      if (grads.dlast_state.defined()) std::copy_n(grads.dlast_state.as<double>() + (b * n.H + h) * size, size, g);
      else std::fill_n(g, size, 0.0);
      for (int64_t t = steps.length - 1; t >= 0; --t)
        backward_step(in, grads, b, t, h, steps.is_reset(t), states + t * size, states + (t + 1) * size, g,
                      sums.as<double>() + b * 3 * n.H + h);
      if (grads.dstate.defined()) std::copy_n(g, size, grads.dstate.as<double>() + (b * n.H + h) * size);
    }
}

}  // namespace vigor
