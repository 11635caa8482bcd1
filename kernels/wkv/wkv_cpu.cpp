#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/block_sums.h"
#include "kernels/sequence_batch.h"
#include "kernels/wkv/wkv_kernels.h"
#include "kernels/wkv/wkv_simd.h"
#include "tensor/threads.h"

namespace vigor {
namespace {

// ---- the equations as they stand: f64 ----

struct State {
  double a = 0, b = 0, p = -std::numeric_limits<double>::infinity();
};

State state_at(const double* from, int64_t C) { return {from[0], from[C], from[2 * C]}; }
void store_state(double* to, int64_t C, const State& s) {
  to[0] = s.a;
  to[C] = s.b;
  to[2 * C] = s.p;
}

State updated(const State& s, double w, double k, double v) {
  const double p = std::max(s.p + w, k);
  return {std::exp(s.p + w - p) * s.a + std::exp(k - p) * v, std::exp(s.p + w - p) * s.b + std::exp(k - p), p};
}

void forward_channels(const WkvForward<double, double>& p) {
  for (int64_t c = 0; c < p.channels; ++c) {
    const double w = -std::exp(p.time_decay[c]), u = p.time_first[c];
    State s = p.state != nullptr ? state_at(p.state + c, p.C) : State();
    for (int64_t t = 0; t < p.time.length; ++t) {
      if (p.chunk_states != nullptr && t % kWkvChunk == 0)
        store_state(p.chunk_states + t / kWkvChunk * 3 * p.C + c, p.C, s);
      if (p.time.is_reset(t)) s = State();
      const double k = p.k[t * p.k_stride + c], v = p.v[t * p.v_stride + c], q = std::max(s.p, u + k);
      p.y[t * p.C + c] =
          (std::exp(s.p - q) * s.a + std::exp(u + k - q) * v) / (std::exp(s.p - q) * s.b + std::exp(u + k - q));
      s = updated(s, w, k, v);
    }
    for (int64_t t = p.time.length; t < p.time.steps; ++t) p.y[t * p.C + c] = 0;
    store_state(p.last_state + c, p.C, s);
  }
}

// One channel; the letters are those of wkv.h, with `next` for the state after the step.
void backward_channel(const WkvBackward<double, double>& p, int64_t c) {
  const double w = -std::exp(p.time_decay[c]), u = p.time_first[c];
  const int64_t length = p.time.length;
  std::vector<State> before;  // each step, as it saw the state
  State s = length > 0 ? state_at(p.chunk_states + c, p.C) : State();
  for (int64_t t = 0; t < length; ++t) {
    if (p.time.is_reset(t)) s = State();
    before.push_back(s);
    s = updated(s, w, p.k[t * p.k_stride + c], p.v[t * p.v_stride + c]);
  }
  const State dlast = p.dlast_state != nullptr ? state_at(p.dlast_state + c, p.C) : State{0, 0, 0};
  double da = dlast.a, db = dlast.b, dr = dlast.p - (s.a * da + s.b * db), dw = 0, du = 0;
  for (int64_t t = length - 1; t >= 0; --t) {
    s = before[static_cast<size_t>(t)];
    const double k = p.k[t * p.k_stride + c], v = p.v[t * p.v_stride + c];
    const double q = std::max(s.p, u + k), past = std::exp(s.p - q), now = std::exp(u + k - q);
    const double n = past * s.b + now, y = (past * s.a + now * v) / n, dy = p.dy[t * p.C + c];
    const double p_next = std::max(s.p + w, k), kept = std::exp(s.p + w - p_next), added = std::exp(k - p_next);
    const bool k_is_largest = k > s.p + w;
    const double d_first = now * dy * (v - y) / n;
    p.dv[t * p.C + c] = now * dy / n + added * da;
    p.dk[t * p.C + c] = d_first + added * (da * v + db) + (k_is_largest ? dr : 0);
    du += d_first;
    dr = k_is_largest ? 0 : dr;  // at a reset s.p is -infinity: kept, past and dr are 0, and nothing flows back
    dw += kept * (s.a * da + s.b * db) + dr;
    da = kept * da + past * dy / n;
    db = kept * db - past * dy * y / n;
  }
  for (int64_t t = length; t < p.time.steps; ++t) p.dk[t * p.C + c] = p.dv[t * p.C + c] = 0;
  p.sum_time_decay[c] = w * dw;
  p.sum_time_first[c] = du;
  if (p.dstate != nullptr) store_state(p.dstate + c, p.C, {da, db, length == 0 ? dlast.p : s.a * da + s.b * db + dr});
}

void backward_channels(const WkvBackward<double, double>& p) {
  for (int64_t c = 0; c < p.channels; ++c) backward_channel(p, c);
}

// ---- f32 and bf16: vectors ----

template <class X>
void forward_channels(const WkvForward<X, float>& p) {
  VIGOR_PICK(wkv_forward)(p);
}
template <class X>
void backward_channels(const WkvBackward<X, float>& p) {
  VIGOR_PICK(wkv_backward)(p);
}

// ---- all channels of all sequences ----

constexpr int64_t kChannelBlock = 64;     // of one thread: four vectors of the widest instruction set
constexpr int64_t kSerialWork = 1 << 11;  // elements below which starting threads costs more than it saves

// f(b, first channel, channels)
template <class F>
void for_each_channel_block(const TensorView& k, F&& f) {
  const int64_t C = k.sizes[2], blocks = (C + kChannelBlock - 1) / kChannelBlock, all = k.sizes[0] * blocks;
  parallel_for(all, k.numel() > kSerialWork, [&](int64_t i) {
    const int64_t c = i % blocks * kChannelBlock;
    f(i / blocks, c, std::min(kChannelBlock, C - c));
  });
}

template <class X, class S>
void wkv_forward(const WkvInputs& in, const WkvOutputs& out) {
  const int64_t T = in.k.sizes[1], C = in.k.sizes[2];
  for_each_channel_block(in.k, [&](int64_t b, int64_t c, int64_t channels) {
    forward_channels(WkvForward<X, S>{
        steps_of(in.lengths, in.resets, b, T), channels, C, in.k.strides[1], in.v.strides[1],
        in.k.as<X>() + b * in.k.strides[0] + c, in.v.as<X>() + b * in.v.strides[0] + c, out.y.as<X>() + b * T * C + c,
        in.time_decay.as<S>() + c, in.time_first.as<S>() + c, row_or_null<S>(in.state, b, c),
        out.last_state.as<S>() + b * 3 * C + c, row_or_null<S>(out.chunk_states, b, c)});
  });
}

template <class X, class S>
void wkv_backward(const WkvInputs& in, const WkvGradients& grads) {
  const int64_t T = in.k.sizes[1], C = in.k.sizes[2];
  for_each_channel_block(in.k, [&](int64_t b, int64_t c, int64_t channels) {
    const int64_t first = b * T * C + c;
    S* sums = grads.sums.as<S>() + b * 2 * C + c;
    backward_channels(WkvBackward<X, S>{
        steps_of(in.lengths, in.resets, b, T), channels, C, in.k.strides[1], in.v.strides[1],
        in.k.as<X>() + b * in.k.strides[0] + c, in.v.as<X>() + b * in.v.strides[0] + c, grads.dy.as<X>() + first,
        grads.dk.as<X>() + first, grads.dv.as<X>() + first, in.time_decay.as<S>() + c, in.time_first.as<S>() + c,
        row_or_null<S>(grads.chunk_states, b, c), row_or_null<S>(grads.dlast_state, b, c),
        row_or_null<S>(grads.dstate, b, c), sums, sums + C});
  });
  add_blocks(grads.dtime_decay, grads.sums, 0);
  add_blocks(grads.dtime_first, grads.sums, 1);
}

}  // namespace

void wkv_forward_cpu(const WkvInputs& in, const WkvOutputs& out) {
  visit_float(in.k.dtype, "wkv", [&]<class X>() { wkv_forward<X, Accumulator<X>>(in, out); });
}

void wkv_backward_cpu(const WkvInputs& in, const WkvGradients& grads) {
  visit_float(in.k.dtype, "wkv", [&]<class X>() { wkv_backward<X, Accumulator<X>>(in, grads); });
}

}  // namespace vigor
