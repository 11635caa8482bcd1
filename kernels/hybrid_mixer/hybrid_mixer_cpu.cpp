#include <algorithm>
#include <type_traits>

#include "kernels/gemm/gemm.h"
#include "kernels/hybrid_mixer/hybrid_mixer_kernels.h"
#include "kernels/hybrid_mixer/hybrid_mixer_simd.h"
#include "kernels/sequence_batch.h"
#include "tensor/primitives.h"
#include "tensor/threads.h"

namespace vigor {
namespace {

// ---- the scans as the equations stand: f64 ----

double value_or_zero(const double* p, int64_t i) { return p != nullptr ? p[i] : 0; }

void state_forward(const HybridStateForward<double>& p) {
  std::fill(p.s + p.time.length * p.n, p.s + p.time.steps * p.n, 0.0);
  const double* previous = p.s0;
  for (int64_t t = 0; t < p.time.length; ++t) {
    double* s = p.s + t * p.n;
    if (previous != nullptr && !p.time.is_reset(t))
      for (int64_t i = 0; i < p.n; ++i)
        for (int64_t j = 0; j < p.n; ++j) s[i] += p.a_t[j * p.columns + i] * previous[j];
    previous = s;
  }
  for (int64_t i = 0; i < p.n; ++i) p.s_last[i] = value_or_zero(previous, i);
}

void state_backward(const HybridStateBackward<double>& p) {
  const int64_t length = p.time.length;
  std::fill(p.g + length * p.n, p.g + p.time.steps * p.n, 0.0);
  std::fill(p.s_previous, p.s_previous + p.time.steps * p.n, 0.0);
  if (p.ds0 != nullptr)
    for (int64_t i = 0; i < p.n; ++i) p.ds0[i] = length == 0 ? value_or_zero(p.ds_last, i) : 0;
  for (int64_t t = length - 1; t >= 0; --t) {
    double* g = p.g + t * p.n;
    if (t == length - 1)
      for (int64_t i = 0; i < p.n; ++i) g[i] += value_or_zero(p.ds_last, i);
    if (p.time.is_reset(t)) continue;  // nothing flows to step t - 1
    double* before = t > 0 ? g - p.n : p.ds0;
    for (int64_t i = 0; i < p.n; ++i) {
      p.s_previous[t * p.n + i] = t > 0 ? p.s[(t - 1) * p.n + i] : value_or_zero(p.s0, i);
      for (int64_t j = 0; before != nullptr && j < p.n; ++j) before[j] += p.a[i * p.columns + j] * g[i];
    }
  }
}

void channels_forward(const HybridChannelsForward<double, double>& p) {
  for (int64_t c = 0; c < p.channels; ++c) {
    double h = value_or_zero(p.h0, c);
    for (int64_t t = 0; t < p.time.length; ++t) {
      if (p.time.is_reset(t)) h = 0;
      h = p.w[c] * h + (1 - p.w[c]) * p.x[t * p.d + c];
      p.y[t * p.d + c] = p.skip_d[c] * h;
    }
    for (int64_t t = p.time.length; t < p.time.steps; ++t) p.y[t * p.d + c] = 0;
    p.h_last[c] = h;
  }
}

void channels_backward(const HybridChannelsBackward<double, double>& p) {
  for (int64_t c = 0; c < p.channels; ++c) {
    double h = value_or_zero(p.h0, c);
    for (int64_t t = 0; t < p.time.length; ++t) {
      if (p.time.is_reset(t)) h = 0;
      p.h[t * p.d + c] = h = p.w[c] * h + (1 - p.w[c]) * p.x[t * p.d + c];
    }
    for (int64_t t = p.time.length; t < p.time.steps; ++t) p.dx[t * p.d + c] = 0;
    double q = value_or_zero(p.dh_last, c);
    for (int64_t t = p.time.length - 1; t >= 0; --t) {
      const int64_t i = t * p.d + c;
      const bool reset = p.time.is_reset(t);
      const double h_previous = reset ? 0 : t > 0 ? p.h[i - p.d] : value_or_zero(p.h0, c);
      q += p.skip_d[c] * p.dy[i];
      p.dx[i] = (1 - p.w[c]) * q;
      p.dw[c] += q * (h_previous - p.x[i]);
      p.dskip_d[c] += p.dy[i] * p.h[i];
      q = reset ? 0 : p.w[c] * q;
    }
    if (p.dh0 != nullptr) p.dh0[c] = q;
  }
}

// ---- f32 and bf16: vectors ----

void state_forward(const HybridStateForward<float>& p) { VIGOR_PICK(hybrid_state_forward)(p); }
void state_backward(const HybridStateBackward<float>& p) { VIGOR_PICK(hybrid_state_backward)(p); }
template <class X>
void channels_forward(const HybridChannelsForward<X, float>& p) {
  VIGOR_PICK(hybrid_channels_forward)(p);
}
template <class X>
void channels_backward(const HybridChannelsBackward<X, float>& p) {
  VIGOR_PICK(hybrid_channels_backward)(p);
}

// ---- all tokens of all sequences ----

// Channels that one thread scans together: four vectors of the widest instruction set.
constexpr int64_t kChannelBlock = 64;
int64_t channel_blocks(int64_t d) { return (d + kChannelBlock - 1) / kChannelBlock; }
// Multiplications below which starting threads costs more than it saves.
constexpr int64_t kSerialWork = 1 << 14;

// packed [n,columns] = matrix or its transpose [n,n], then zeros.
template <class S>
void pack(const TensorView& packed, const TensorView& matrix, Transpose transpose) {
  const int64_t n = matrix.sizes[0], columns = packed.sizes[1];
  const S* m = matrix.as<S>();
  for (int64_t i = 0; i < n; ++i) {
    S* row = packed.as<S>() + i * columns;
    for (int64_t j = 0; j < n; ++j) row[j] = transpose == Transpose::yes ? m[j * n + i] : m[i * n + j];
    std::fill(row + n, row + columns, S(0));
  }
}

template <class X, class S>
void hybrid_mixer_forward(const HybridMixerInputs& in, const HybridMixerOutputs& out) {
  const int64_t B = in.x.sizes[0], T = in.x.sizes[1], d = in.x.sizes[2], n = in.ssm_a.sizes[0];
  const int64_t columns = out.a_packed.sizes[1];
  S* s = out.s.as<S>();
  gemm(B * T, n, d, {in.x.as<X>(), d}, {in.ssm_b.as<S>(), d, Transpose::yes}, {s, n});  // U = X B^T
  pack<S>(out.a_packed, in.ssm_a, Transpose::yes);
  parallel_for(B, B > 1 && B * T * n * n > kSerialWork, [&](int64_t b) {
    state_forward({steps_of(in.lengths, in.resets, b, T), n, columns, out.a_packed.as<S>(), s + b * T * n,
                   row_or_null<S>(in.s0, b), row_or_null<S>(out.s_last, b)});
  });
  parallel_for(channel_blocks(d), B * T * d > kSerialWork, [&](int64_t block) {
    const int64_t c = block * kChannelBlock;
    for (int64_t b = 0; b < B; ++b) {
      const int64_t first = b * T * d + c;
      channels_forward(HybridChannelsForward<X, S>{steps_of(in.lengths, in.resets, b, T),
                                                   std::min(kChannelBlock, d - c), d, in.x.as<X>() + first,
                                                   out.y.as<X>() + first, in.w_mix.as<S>() + c, in.skip_d.as<S>() + c,
                                                   row_or_null<S>(in.h0, b, c), row_or_null<S>(out.h_last, b, c)});
    }
  });
  gemm(B * T, d, n, {s, n}, {in.ssm_c.as<S>(), n, Transpose::yes}, {out.y.as<X>(), d, Accumulate::yes});  // Y += S C^T
}

template <class X, class S>
void hybrid_mixer_backward(const HybridMixerInputs& in, const HybridMixerGradients& grads) {
  const int64_t B = in.x.sizes[0], T = in.x.sizes[1], d = in.x.sizes[2], n = in.ssm_a.sizes[0];
  const int64_t columns = grads.a_packed.sizes[1];
  const X *x = in.x.as<X>(), *dy = grads.dy.as<X>();
  const S* s = grads.s.as<S>();
  S* g = grads.g.as<S>();
  gemm(B * T, n, d, {dy, d}, {in.ssm_c.as<S>(), n}, {g, n});  // dY C
  pack<S>(grads.a_packed, in.ssm_a, Transpose::no);
  parallel_for(B, B > 1 && B * T * n * n > kSerialWork, [&](int64_t b) {
    state_backward({steps_of(in.lengths, in.resets, b, T), n, columns, grads.a_packed.as<S>(), g + b * T * n,
                    s + b * T * n, row_or_null<S>(in.s0, b), row_or_null<S>(grads.ds_last, b),
                    grads.s_previous.as<S>() + b * T * n, row_or_null<S>(grads.ds0, b)});
  });

  for (const GradientView& sum : {grads.dw_mix, grads.dskip_d})
    if (!sum.accumulate) fill(sum.view, 0);
  // A thread keeps its channels for all sequences, so the sums over the batch have one order.
  parallel_for(channel_blocks(d), B * T * d > kSerialWork, [&](int64_t block) {
    const int64_t c = block * kChannelBlock;
    for (int64_t b = 0; b < B; ++b) {
      const int64_t first = b * T * d + c;
      channels_backward(HybridChannelsBackward<X, S>{
          steps_of(in.lengths, in.resets, b, T), std::min(kChannelBlock, d - c), d, x + first, dy + first,
          grads.dx.as<X>() + first, in.w_mix.as<S>() + c, in.skip_d.as<S>() + c, row_or_null<S>(in.h0, b, c),
          row_or_null<S>(grads.dh_last, b, c), row_or_null<S>(grads.dh0, b, c), grads.dw_mix.view.as<S>() + c,
          grads.dskip_d.view.as<S>() + c, grads.h.as<S>() + c});
    }
  });
  // Rows of padding are zero in G, S and S_previous, so they add nothing to these sums over all B*T rows.
  const auto output = [](const GradientView& to, int64_t ld) {
    return GemmOutput(to.view.as<S>(), ld, to.accumulate ? Accumulate::yes : Accumulate::no);
  };
  gemm(B * T, d, n, {g, n}, {in.ssm_b.as<S>(), d}, {grads.dx.as<X>(), d, Accumulate::yes});  // dX += G B
  if (grads.da.defined())                                                                    // dA = G^T S_previous
    gemm(n, n, B * T, {g, n, Transpose::yes}, {grads.s_previous.as<S>(), n}, output(grads.da, n));
  if (grads.db.defined())  // dB = G^T X
    gemm(n, d, B * T, {g, n, Transpose::yes}, {x, d}, output(grads.db, d));
  if (grads.dc.defined())  // dC = dY^T S
    gemm(d, n, B * T, {dy, d, Transpose::yes}, {s, n}, output(grads.dc, n));
}

}  // namespace

void hybrid_mixer_forward_cpu(const HybridMixerInputs& in, const HybridMixerOutputs& out) {
  visit_float(in.x.dtype, "hybrid_mixer", [&]<class X>() { hybrid_mixer_forward<X, Accumulator<X>>(in, out); });
}

void hybrid_mixer_backward_cpu(const HybridMixerInputs& in, const HybridMixerGradients& grads) {
  visit_float(in.x.dtype, "hybrid_mixer", [&]<class X>() { hybrid_mixer_backward<X, Accumulator<X>>(in, grads); });
}

}  // namespace vigor
