#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/causal_conv1d/causal_conv1d_kernels.h"
#include "kernels/causal_conv1d/causal_conv1d_simd.h"
#include "kernels/sequence_batch.h"
#include "tensor/primitives.h"
#include "tensor/threads.h"

namespace vigor {
namespace {

// One sequence. Its inputs are u_s, s = -(K-1) .. length-1: first those of the state, then those of x.
template <class X>
struct Sequence : SequenceSteps {
  int64_t b, C, K;
  int64_t tap_step;  // from one row of taps to the next
  const X* x;        // [T,..], rows x_stride apart
  int64_t x_stride;
  const X* state;  // [K-1,C] or null

  Sequence(const CausalConv1dInputs& in, int64_t index, int64_t step)
      : SequenceSteps(steps_of(in.lengths, in.resets, index, in.x.sizes[1])),
        b(index),
        C(in.x.sizes[2]),
        K(in.K),
        tap_step(step),
        x(in.x.as<X>() + b * in.x.strides[0]),
        x_stride(in.x.strides[1]),
        state(row_or_null<X>(in.state, b)) {}

  // The row u_s; null: zeros.
  const X* input(int64_t s) const {
    if (s >= 0) return x + s * x_stride;
    return state != nullptr ? state + (s + K - 1) * C : nullptr;
  }
  // Step t sees u_{t-reach(t)} .. u_t.
  int64_t reach(int64_t t) const {
    int64_t seen = 0;
    while (seen < K - 1 && (t - seen < 0 || !is_reset(t - seen))) ++seen;
    return seen;
  }
  // Whether u_s is among the last K-1 inputs, which go into last_state.
  bool is_last(int64_t s) const { return s >= length - (K - 1) && length - 1 - s <= reach(length - 1); }
};

// Row b,i of a view [B,rows,C]; null when the view is undefined.
template <class X>
X* row_of(const TensorView& view, int64_t b, int64_t i) {
  return view.defined() ? view.as<X>() + (b * view.sizes[1] + i) * view.sizes[2] : nullptr;
}

double activation(double p, bool silu) { return silu ? p / (1 + std::exp(-p)) : p; }
double activation_gradient(double p, bool silu) {
  const double s = 1 / (1 + std::exp(-p));
  return silu ? s * (1 + p * (1 - s)) : 1;
}

// ---- the definition, in f64 ----

double preactivation(const Sequence<double>& u, const double* taps, int64_t t, int64_t c) {
  double p = taps[u.K * u.tap_step + c];
  for (int64_t j = 0; j <= u.reach(t); ++j) {
    const double* input = u.input(t - j);
    if (input != nullptr) p += taps[(u.K - 1 - j) * u.tap_step + c] * input[c];
  }
  return p;
}

void forward_channels(const Sequence<double>& u, const TensorView& y, const TensorView& last_state, const double* taps,
                      bool silu, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t t = 0; t < u.steps; ++t)
      row_of<double>(y, u.b, t)[c] = t < u.length ? activation(preactivation(u, taps, t, c), silu) : 0;
    for (int64_t s = u.length - (u.K - 1); s < u.length; ++s) {
      const double* input = u.is_last(s) ? u.input(s) : nullptr;
      row_of<double>(last_state, u.b, s - u.length + u.K - 1)[c] = input != nullptr ? input[c] : 0;
    }
  }
}

void backward_channels(const Sequence<double>& u, const CausalConv1dGradients& grads, const double* taps, double* dtaps,
                       bool silu, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t s = -(u.K - 1); s < u.steps; ++s) {
      double* du = s >= 0 ? row_of<double>(grads.dx, u.b, s) : row_of<double>(grads.dstate, u.b, s + u.K - 1);
      if (du == nullptr) continue;
      const double* dlast =
          s < u.length && u.is_last(s) ? row_of<double>(grads.dlast_state, u.b, s - u.length + u.K - 1) : nullptr;
      du[c] = dlast != nullptr ? dlast[c] : 0;
    }
    for (int64_t t = 0; t < u.length; ++t) {
      const double g = row_of<double>(grads.dy, u.b, t)[c] * activation_gradient(preactivation(u, taps, t, c), silu);
      for (int64_t j = 0; j <= u.reach(t); ++j) {
        const int64_t s = t - j, tap = (u.K - 1 - j) * u.tap_step + c;
        double* du = s >= 0 ? row_of<double>(grads.dx, u.b, s) : row_of<double>(grads.dstate, u.b, s + u.K - 1);
        if (du != nullptr) du[c] += taps[tap] * g;
        if (u.input(s) != nullptr) dtaps[tap] += g * u.input(s)[c];
      }
      dtaps[u.K * u.tap_step + c] += g;
    }
  }
}

// ---- f32 and bf16: vectors of channels ----

// Channels that one thread takes through time: K rows of them and their weights stay in the first-level cache.
constexpr int64_t kChannelBlock = 256;

template <class X>
ConvForwardStep<X> step(const Sequence<X>& u, const float* taps, bool silu, int64_t t, int64_t begin, int64_t end) {
  ConvForwardStep<X> p{end - begin, u.K, {}, taps + begin, u.tap_step, nullptr, silu};
  for (int64_t j = u.reach(t); j >= 0; --j)
    if (const X* input = u.input(t - j)) p.inputs[u.K - 1 - j] = input + begin;
  return p;
}

template <class X>
void forward_channels(const Sequence<X>& u, const TensorView& y, const TensorView& last_state, const float* taps,
                      bool silu, int64_t begin, int64_t end) {
  for (int64_t t = 0; t < u.length; ++t) {
    ConvForwardStep<X> p = step(u, taps, silu, t, begin, end);
    p.y = row_of<X>(y, u.b, t) + begin;
    VIGOR_PICK(conv_forward_step)(p);
  }
  for (int64_t t = u.length; t < u.steps; ++t) std::fill_n(row_of<X>(y, u.b, t) + begin, end - begin, X(0));
  for (int64_t s = u.length - (u.K - 1); s < u.length; ++s) {
    X* to = row_of<X>(last_state, u.b, s - u.length + u.K - 1);
    const X* input = u.is_last(s) ? u.input(s) : nullptr;
    if (input != nullptr) std::copy(input + begin, input + end, to + begin);
    else std::fill(to + begin, to + end, X(0));
  }
}

// Against time: g of the K steps that see an input is still there when the input's turn comes.
template <class X>
void backward_channels(const Sequence<X>& u, const CausalConv1dGradients& grads, const float* taps, float* dtaps,
                       bool silu, int64_t begin, int64_t end) {
  float g[kConvTaps][kChannelBlock];  // of step t: row t % kConvTaps
  for (int64_t t = u.length; t < u.steps; ++t) std::fill_n(row_of<X>(grads.dx, u.b, t) + begin, end - begin, X(0));
  const int64_t first = grads.dstate.defined() ? -(u.K - 1) : 0;
  for (int64_t s = u.length - 1; s >= first; --s) {
    if (s >= 0) {
      const X* dy = row_of<X>(grads.dy, u.b, s) + begin;
      const ConvGradientStep<X> p{step(u, taps, silu, s, begin, end), dy, g[s % kConvTaps], dtaps + begin};
      VIGOR_PICK(conv_gradient_step)(p);
    }
    const X* dlast = u.is_last(s) ? row_of<X>(grads.dlast_state, u.b, s - u.length + u.K - 1) : nullptr;
    X* du = s >= 0 ? row_of<X>(grads.dx, u.b, s) : row_of<X>(grads.dstate, u.b, s + u.K - 1);
    ConvInputGradientStep<X> p{
        end - begin, u.K, {}, taps + begin, u.tap_step, dlast != nullptr ? dlast + begin : nullptr, du + begin};
    for (int64_t t = s; t < std::min(u.length, s + u.K); ++t) {
      if (t < 0) continue;
      if (t > s && u.is_reset(t)) break;
      p.dp[t - s] = g[t % kConvTaps];
    }
    VIGOR_PICK(conv_input_gradient_step)(p);
  }
}

// ---- all sequences ----

// Multiplications below which starting threads costs more than it saves.
constexpr int64_t kSerialWork = 1 << 14;

// taps [K+1,..] = weight [C,K] transposed, then the bias or zeros.
template <class W, class S>
void transpose_weight(const TensorView& view, const CausalConv1dInputs& in) {
  const int64_t C = in.x.sizes[2], step = view.sizes[1];
  const W* weight = in.weight.as<W>();
  S* taps = view.as<S>();
  for (int64_t c = 0; c < C; ++c)
    for (int64_t k = 0; k < in.K; ++k) taps[k * step + c] = static_cast<S>(weight[c * in.K + k]);
  for (int64_t c = 0; c < C; ++c) taps[in.K * step + c] = in.bias.defined() ? static_cast<S>(in.bias.as<W>()[c]) : S(0);
}

template <class W, class S>
void put_gradient(const GradientView& gradient, const S* from, int64_t rows, int64_t C, int64_t step) {
  if (!gradient.defined()) return;
  W* to = gradient.view.as<W>();
  for (int64_t c = 0; c < C; ++c)
    for (int64_t k = 0; k < rows; ++k) {
      W& value = to[c * rows + k];
      value = W(gradient.accumulate ? static_cast<S>(value) + from[k * step + c] : from[k * step + c]);
    }
}

template <class X, class W>
void conv_forward(const TensorView& y, const TensorView& last_state, const CausalConv1dInputs& in,
                  const TensorView& taps) {
  using S = Accumulator<X>;
  const int64_t B = y.sizes[0], T = y.sizes[1], C = y.sizes[2];
  const int64_t blocks = (C + kChannelBlock - 1) / kChannelBlock;
  transpose_weight<W, S>(taps, in);
  parallel_for(B * blocks, B * T * C * in.K > kSerialWork, [&](int64_t i) {
    const int64_t begin = i % blocks * kChannelBlock;
    forward_channels(Sequence<X>(in, i / blocks, taps.sizes[1]), y, last_state, taps.as<S>(), in.silu, begin,
                     std::min(C, begin + kChannelBlock));
  });
}

template <class X, class W>
void conv_backward(const CausalConv1dInputs& in, const CausalConv1dGradients& grads, const TensorView& taps,
                   const TensorView& dtaps) {
  using S = Accumulator<X>;
  const int64_t B = grads.dy.sizes[0], T = grads.dy.sizes[1], C = grads.dy.sizes[2];
  transpose_weight<W, S>(taps, in);
  fill(dtaps, 0);
  // A thread keeps its channels for all sequences, so the sums over the batch have one order.
  parallel_for((C + kChannelBlock - 1) / kChannelBlock, B * T * C * in.K > kSerialWork, [&](int64_t block) {
    const int64_t begin = block * kChannelBlock;
    for (int64_t b = 0; b < B; ++b)
      backward_channels(Sequence<X>(in, b, taps.sizes[1]), grads, taps.as<S>(), dtaps.as<S>(), in.silu, begin,
                        std::min(C, begin + kChannelBlock));
  });
  put_gradient<W>(grads.dweight, dtaps.as<S>(), in.K, C, dtaps.sizes[1]);
  put_gradient<W>(grads.dbias, dtaps.as<S>() + in.K * dtaps.sizes[1], 1, C, dtaps.sizes[1]);
}

// Calls f.operator()<X, W>() with the types of activations and weights.
template <class F>
void visit_types(const CausalConv1dInputs& in, F&& f) {
  visit_float(in.x.dtype, "causal_conv1d", [&]<class X>() {
    if constexpr (std::is_same_v<X, bf16>)
      if (in.weight.dtype == Dtype::f32) return f.template operator()<X, float>();
    f.template operator()<X, X>();
  });
}

}  // namespace

void causal_conv1d_forward_cpu(const TensorView& y, const TensorView& last_state, const CausalConv1dInputs& in,
                               const TensorView& taps) {
  visit_types(in, [&]<class X, class W>() { conv_forward<X, W>(y, last_state, in, taps); });
}

void causal_conv1d_backward_cpu(const CausalConv1dInputs& in, const CausalConv1dGradients& grads,
                                const TensorView& taps, const TensorView& dtaps) {
  visit_types(in, [&]<class X, class W>() { conv_backward<X, W>(in, grads, taps, dtaps); });
}

}  // namespace vigor
