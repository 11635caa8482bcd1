#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/block_sums.h"
#include "kernels/parallel.h"
#include "kernels/selective_scan/selective_scan_kernels.h"
#include "kernels/sequence_batch.h"

namespace vigor {
namespace {

// ---- the equations as they stand: f64, one channel after the other ----

double value(const SelectiveRows<double>& rows, int64_t t, int64_t i) { return rows.data[t * rows.stride + i]; }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

// h = exp(s A) h + s B x
void advance(const SelectiveScanInputs<double, double>& in, int64_t e, int64_t t, double* h) {
  const double size = softplus(value(in.delta, t, e) + in.delta_bias[e]);
  for (int64_t n = 0; n < in.N; ++n) {
    const double a = -std::exp(in.a_log[e * in.N + n]);
    h[n] = std::exp(size * a) * h[n] + size * value(in.b, t, n) * value(in.x, t, e);
  }
}

void forward_channels(const SelectiveScanForward<double, double>& p) {
  const auto& in = p.in;
  for (int64_t e = 0; e < in.channels; ++e) {
    std::vector<double> h(static_cast<size_t>(in.N), 0.0);
    if (p.state != nullptr) std::copy_n(p.state + e * in.N, in.N, h.begin());
    for (int64_t t = 0; t < in.time.length; ++t) {
      if (p.chunk_states != nullptr && t % kSelectiveChunk == 0)
        std::copy(h.begin(), h.end(), p.chunk_states + (t / kSelectiveChunk * in.E + e) * in.N);
      if (in.time.is_reset(t)) std::fill(h.begin(), h.end(), 0.0);
      advance(in, e, t, h.data());
      double& y = p.y[t * in.E + e];
      y = in.d[e] * value(in.x, t, e);
      for (int64_t n = 0; n < in.N; ++n) y += value(in.c, t, n) * h[static_cast<size_t>(n)];
    }
    for (int64_t t = in.time.length; t < in.time.steps; ++t) p.y[t * in.E + e] = 0;
    std::copy(h.begin(), h.end(), p.last_state + e * in.N);
  }
}

// Step t of channel e: h is h_{t-1} and h_new h_t; g, on entry what reaches h_t from later steps, leaves as what
// reaches h_{t-1}.
void backward_step(const SelectiveScanBackward<double, double>& p, int64_t e, int64_t t, const double* h,
                   const double* h_new, double* g) {
  const auto& in = p.in;
  const double delta = value(in.delta, t, e) + in.delta_bias[e], size = softplus(delta);
  const double x = value(in.x, t, e), dy = p.dy[t * in.E + e];
  double into_b = 0, into_a = 0;
  for (int64_t n = 0; n < in.N; ++n) {
    const double a = -std::exp(in.a_log[e * in.N + n]), decay = std::exp(size * a);
    g[n] += value(in.c, t, n) * dy;
    p.sums_bc[2 * t * in.N + n] += g[n] * size * x;
    p.sums_bc[(2 * t + 1) * in.N + n] += dy * h_new[n];
    into_b += g[n] * value(in.b, t, n);
    const double k = g[n] * decay * h[n];
    into_a += k * a;
    p.sum_a_log[e * in.N + n] += a * k * size;
    g[n] *= decay;
  }
  const double ddelta = (into_a + x * into_b) / (1 + std::exp(-delta));
  p.dx[t * in.E + e] = in.d[e] * dy + size * into_b;
  p.ddelta[t * in.E + e] = ddelta;
  p.sum_d[e] += dy * x;
  p.sum_bias[e] += ddelta;
}

void backward_channels(const SelectiveScanBackward<double, double>& p) {
  const auto& in = p.in;
  const int64_t N = in.N, length = in.time.length;
  std::fill_n(p.sums_bc, in.time.steps * 2 * N, 0.0);
  std::fill_n(p.sum_a_log, in.channels * N, 0.0);
  std::fill_n(p.sum_d, in.channels, 0.0);
  std::fill_n(p.sum_bias, in.channels, 0.0);
  std::vector<double> h(static_cast<size_t>((length + 1) * N));  // before step 0, and after every step
  const std::vector<double> nothing(static_cast<size_t>(N), 0.0);
  for (int64_t e = 0; e < in.channels; ++e) {
    if (length > 0) std::copy_n(p.chunk_states + e * N, N, h.begin());
    for (int64_t t = 0; t < length; ++t) {
      double* after = h.data() + (t + 1) * N;
      std::copy_n(in.time.is_reset(t) ? nothing.data() : after - N, N, after);
      advance(in, e, t, after);
    }
    double* g = p.dstate + e * N;
    if (p.dlast_state != nullptr) std::copy_n(p.dlast_state + e * N, N, g);
    else std::fill_n(g, N, 0.0);
    for (int64_t t = length - 1; t >= 0; --t) {
      const double* after = h.data() + (t + 1) * N;
      backward_step(p, e, t, in.time.is_reset(t) ? nothing.data() : after - N, after, g);
      if (in.time.is_reset(t)) std::fill_n(g, N, 0.0);
    }
    for (int64_t t = length; t < in.time.steps; ++t) p.dx[t * in.E + e] = p.ddelta[t * in.E + e] = 0;
  }
}

// ---- f32 and bf16: vectors ----

template <class X>
void forward_channels(const SelectiveScanForward<X, float>& p) {
  VIGOR_PICK(selective_scan_forward)(p);
}
template <class X>
void backward_channels(const SelectiveScanBackward<X, float>& p) {
  VIGOR_PICK(selective_scan_backward)(p);
}

// ---- all channels of all sequences ----

constexpr int64_t kSerialWork = 1 << 9;  // channels and steps below which starting threads costs more than it saves

template <class X>
SelectiveRows<X> rows_of(const TensorView& x, int64_t b, int64_t column = 0) {
  return {x.as<X>() + b * x.strides[0] + column, x.strides[1]};
}

// f(b, block of channels, their first, their inputs)
template <class X, class S, class F>
void for_each_block(const SelectiveScanArguments& in, F&& f) {
  const int64_t T = in.x.sizes[1], E = in.x.sizes[2], N = in.b.sizes[2], blocks = selective_scan_blocks(E, N, kCpu);
  const int64_t all = in.x.sizes[0] * blocks;
  parallel_for(all, in.x.numel() > kSerialWork, [&](int64_t i) {
    const int64_t b = i / blocks, block = i % blocks, e = block * kSelectiveChannels;
    f(b, block, e,
      SelectiveScanInputs<X, S>{steps_of(in.lengths, in.resets, b, T), std::min(kSelectiveChannels, E - e), E, N,
                                rows_of<X>(in.x, b, e), rows_of<X>(in.delta, b, e), rows_of<X>(in.b, b),
                                rows_of<X>(in.c, b), in.a_log.as<S>() + e * N, in.d.as<S>() + e,
                                in.delta_bias.as<S>() + e});
  });
}

template <class X, class S>
void selective_scan_forward(const SelectiveScanArguments& arguments, const SelectiveScanOutputs& out) {
  const int64_t T = arguments.x.sizes[1];
  for_each_block<X, S>(arguments, [&](int64_t b, int64_t, int64_t e, const SelectiveScanInputs<X, S>& in) {
    const int64_t states = in.E * in.N;
    forward_channels(SelectiveScanForward<X, S>{
        in, out.y.as<X>() + b * T * in.E + e, row_or_null<S>(arguments.state, b, e * in.N),
        out.last_state.as<S>() + b * states + e * in.N, row_or_null<S>(out.chunk_states, b, e * in.N)});
  });
}

// db and dc [B,T,N] = the sums over the blocks of channels.
template <class X, class S>
void add_channel_blocks(const SelectiveScanGradients& grads) {
  const int64_t B = grads.sums_bc.sizes[0], blocks = grads.sums_bc.sizes[1], T = grads.sums_bc.sizes[2],
                N = grads.sums_bc.sizes[4];
  parallel_blocks(B * T, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const S* sums = grads.sums_bc.as<S>() + (row / T * blocks * T + row % T) * 2 * N;
      for (int64_t i = 0; i < 2 * N; ++i) {
        S total = 0;
        for (int64_t block = 0; block < blocks; ++block) total += sums[block * T * 2 * N + i];
        (i < N ? grads.db : grads.dc).as<X>()[row * N + i % N] = X(total);
      }
    }
  });
}

template <class X, class S>
void selective_scan_backward(const SelectiveScanArguments& arguments, const SelectiveScanGradients& grads) {
  const int64_t T = arguments.x.sizes[1];
  for_each_block<X, S>(arguments, [&](int64_t b, int64_t block, int64_t e, const SelectiveScanInputs<X, S>& in) {
    const int64_t first = b * T * in.E + e, state = (b * in.E + e) * in.N;
    S *sums_bc = grads.sums_bc.as<S>() + (b * grads.sums_bc.sizes[1] + block) * T * 2 * in.N,
      *sums_d = grads.sums_d.as<S>() + b * 2 * in.E + e;
    backward_channels(SelectiveScanBackward<X, S>{
        in, grads.dy.as<X>() + first, grads.dx.as<X>() + first, grads.ddelta.as<X>() + first,
        row_or_null<S>(grads.chunk_states, b, e * in.N), row_or_null<S>(grads.dlast_state, b, e * in.N),
        grads.dstate.as<S>() + state, sums_bc, grads.sums_a.as<S>() + state, sums_d, sums_d + in.E});
  });
  add_channel_blocks<X, S>(grads);
  add_blocks(grads.da_log, grads.sums_a, 0);
  add_blocks(grads.dd, grads.sums_d, 0);
  add_blocks(grads.ddelta_bias, grads.sums_d, 1);
}

}  // namespace

void selective_scan_forward_cpu(const SelectiveScanArguments& in, const SelectiveScanOutputs& out) {
  visit_float(in.x.dtype, "selective_scan", [&]<class X>() { selective_scan_forward<X, Accumulator<X>>(in, out); });
}

void selective_scan_backward_cpu(const SelectiveScanArguments& in, const SelectiveScanGradients& grads) {
  visit_float(in.x.dtype, "selective_scan", [&]<class X>() { selective_scan_backward<X, Accumulator<X>>(in, grads); });
}

}  // namespace vigor
