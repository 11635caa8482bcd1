#include "kernels/hybrid_mixer/hybrid_mixer_simd.h"
#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// row += sum over j of matrix[j] * v[j]: the rows of the matrix, each weighted by one entry of v. Four sums, because
// one alone would wait for the latency of every fma.
void add_weighted_rows(float* row, const float* matrix, int64_t columns, const float* v, int64_t n) {
  for (int64_t c = 0; c < n; c += kLanes) {
    const int64_t lanes = n - c < kLanes ? n - c : kLanes;
    vfloat sum0 = load_partial(row + c, lanes), sum1{}, sum2{}, sum3{};
    const float* m = matrix + c;
    int64_t j = 0;
    for (; j + 4 <= n; j += 4, m += 4 * columns) {
      sum0 = fma(load(m), v[j], sum0);
      sum1 = fma(load(m + columns), v[j + 1], sum1);
      sum2 = fma(load(m + 2 * columns), v[j + 2], sum2);
      sum3 = fma(load(m + 3 * columns), v[j + 3], sum3);
    }
    for (; j < n; ++j, m += columns) sum0 = fma(load(m), v[j], sum0);
    store_partial(row + c, (sum0 + sum1) + (sum2 + sum3), lanes);
  }
}

}  // namespace

void hybrid_state_forward(const HybridStateForward<float>& p) {
  const float* previous = p.s0;
  for (int64_t t = 0; t < p.time.length; ++t) {
    float* s = p.s + t * p.n;
    if (previous != nullptr && !p.time.is_reset(t)) add_weighted_rows(s, p.a_t, p.columns, previous, p.n);
    previous = s;
  }
  copy_or_zeros(p.s_last, previous, p.n);
  fill_zeros(p.s + p.time.length * p.n, (p.time.steps - p.time.length) * p.n);
}

void hybrid_state_backward(const HybridStateBackward<float>& p) {
  const int64_t length = p.time.length;
  fill_zeros(p.g + length * p.n, (p.time.steps - length) * p.n);
  fill_zeros(p.s_previous + length * p.n, (p.time.steps - length) * p.n);
  for (int64_t t = length - 1; t >= 0; --t) {
    float* g = p.g + t * p.n;
    if (t == length - 1) {
      for (int64_t i = 0; p.ds_last != nullptr && i < p.n; ++i) g[i] += p.ds_last[i];
    } else if (!p.time.is_reset(t + 1)) {
      add_weighted_rows(g, p.a, p.columns, g + p.n, p.n);
    }
    const float* previous = t > 0 ? p.s + (t - 1) * p.n : p.s0;
    copy_or_zeros(p.s_previous + t * p.n, p.time.is_reset(t) ? nullptr : previous, p.n);
  }
  if (p.ds0 == nullptr) return;
  if (length == 0) {
    copy_or_zeros(p.ds0, p.ds_last, p.n);
  } else {
    fill_zeros(p.ds0, p.n);
    if (!p.time.is_reset(0)) add_weighted_rows(p.ds0, p.a, p.columns, p.g, p.n);
  }
}

namespace {

// A strip is V neighbouring vectors of channels held in registers over the whole scan: 4, to overlap the latency of
// four independent scans, or 1 at the end of a row.

// Zeros in the steps behind the real ones.
template <int V, class T, class Lanes>
VIGOR_INLINE void fill_padding(T* strip, const SequenceSteps& time, int64_t d, Lanes lanes) {
  for (int64_t t = time.length; t < time.steps; ++t)
    for (int v = 0; v < V; ++v) store(strip + t * d + v * kLanes, zero(), lanes);
}

template <int V, class T, class Lanes>
void forward_strip(const HybridChannelsForward<T, float>& p, int64_t channel, Lanes lanes) {
  vfloat h[V], w[V], one_minus_w[V], skip_d[V];
  for (int v = 0; v < V; ++v) {
    const int64_t c = channel + v * kLanes;
    h[v] = p.h0 != nullptr ? load(p.h0 + c, lanes) : zero();
    w[v] = load(p.w + c, lanes);
    one_minus_w[v] = 1.0f - w[v];
    skip_d[v] = load(p.skip_d + c, lanes);
  }
  for (int64_t t = 0; t < p.time.length; ++t) {
    const int64_t row = t * p.d + channel;
    if (p.time.is_reset(t))
      for (int v = 0; v < V; ++v) h[v] = zero();
    for (int v = 0; v < V; ++v) {
      h[v] = fma(w[v], h[v], one_minus_w[v] * load(p.x + row + v * kLanes, lanes));
      store(p.y + row + v * kLanes, skip_d[v] * h[v], lanes);
    }
  }
  fill_padding<V>(p.y + channel, p.time, p.d, lanes);
  for (int v = 0; v < V; ++v) store(p.h_last + channel + v * kLanes, h[v], lanes);
}

// Forward once more to have h, then backward in time.
template <int V, class T, class Lanes>
void backward_strip(const HybridChannelsBackward<T, float>& p, int64_t channel, Lanes lanes) {
  vfloat h[V], h0[V], w[V], one_minus_w[V], skip_d[V], q[V], dw[V], dskip_d[V];
  for (int v = 0; v < V; ++v) {
    const int64_t c = channel + v * kLanes;
    h[v] = h0[v] = p.h0 != nullptr ? load(p.h0 + c, lanes) : zero();
    w[v] = load(p.w + c, lanes);
    one_minus_w[v] = 1.0f - w[v];
    skip_d[v] = load(p.skip_d + c, lanes);
    q[v] = p.dh_last != nullptr ? load(p.dh_last + c, lanes) : zero();
    dw[v] = load(p.dw + c, lanes);
    dskip_d[v] = load(p.dskip_d + c, lanes);
  }
  for (int64_t t = 0; t < p.time.length; ++t) {
    const int64_t row = t * p.d + channel;
    if (p.time.is_reset(t))
      for (int v = 0; v < V; ++v) h[v] = zero();
    for (int v = 0; v < V; ++v) {
      h[v] = fma(w[v], h[v], one_minus_w[v] * load(p.x + row + v * kLanes, lanes));
      store(p.h + row + v * kLanes, h[v], lanes);
    }
  }
  // On entry to step t, q is what reaches h_t from later steps: dh_last, or w q_{t+1}, or 0 where t+1 is a reset.
  for (int64_t t = p.time.length - 1; t >= 0; --t) {
    const int64_t row = t * p.d + channel;
    const bool reset = p.time.is_reset(t);
    for (int v = 0; v < V; ++v) {
      const int64_t i = row + v * kLanes;
      const vfloat dy = load(p.dy + i, lanes), x = load(p.x + i, lanes);
      const vfloat h_previous = reset ? zero() : t > 0 ? load(p.h + i - p.d, lanes) : h0[v];
      dskip_d[v] = fma(dy, load(p.h + i, lanes), dskip_d[v]);
      q[v] = fma(skip_d[v], dy, q[v]);
      dw[v] = fma(q[v], h_previous - x, dw[v]);
      store(p.dx + i, one_minus_w[v] * q[v], lanes);
      q[v] = reset ? zero() : w[v] * q[v];
    }
  }
  fill_padding<V>(p.dx + channel, p.time, p.d, lanes);
  for (int v = 0; v < V; ++v) {
    const int64_t c = channel + v * kLanes;
    store(p.dw + c, dw[v], lanes);
    store(p.dskip_d + c, dskip_d[v], lanes);
    if (p.dh0 != nullptr) store(p.dh0 + c, q[v], lanes);
  }
}

// strip(channel, vectors, lanes) for all channels; `vectors` carries its number in its type.
template <int V>
struct Vectors {
  static constexpr int value = V;
};
template <class F>
VIGOR_INLINE void for_strips(int64_t channels, F strip) {
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) strip(c, Vectors<4>{}, AllLanes{});
  for (; c + kLanes <= channels; c += kLanes) strip(c, Vectors<1>{}, AllLanes{});
  if (c < channels) strip(c, Vectors<1>{}, channels - c);
}

template <class T>
void channels_forward(const HybridChannelsForward<T, float>& p) {
  for_strips(p.channels, [&](int64_t c, auto v, auto lanes) { forward_strip<decltype(v)::value>(p, c, lanes); });
}
template <class T>
void channels_backward(const HybridChannelsBackward<T, float>& p) {
  for_strips(p.channels, [&](int64_t c, auto v, auto lanes) { backward_strip<decltype(v)::value>(p, c, lanes); });
}

}  // namespace

void hybrid_channels_forward(const HybridChannelsForward<float, float>& p) { channels_forward(p); }
void hybrid_channels_forward(const HybridChannelsForward<bf16, float>& p) { channels_forward(p); }
void hybrid_channels_backward(const HybridChannelsBackward<float, float>& p) { channels_backward(p); }
void hybrid_channels_backward(const HybridChannelsBackward<bf16, float>& p) { channels_backward(p); }

}  // namespace vigor::VIGOR_ISA
