#include "kernels/wkv/wkv_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

struct State {
  vfloat a, b, p;
};

State nothing_seen() { return {zero(), zero(), broadcast(-__builtin_inff())}; }

template <class Lanes>
VIGOR_INLINE State load_state(const float* from, int64_t C, Lanes lanes) {
  return {load(from, lanes), load(from + C, lanes), load(from + 2 * C, lanes)};
}
template <class Lanes>
VIGOR_INLINE void store_state(float* to, int64_t C, const State& s, Lanes lanes) {
  store(to, s.a, lanes);
  store(to + C, s.b, lanes);
  store(to + 2 * C, s.p, lanes);
}

// e^{x-m} and e^{y-m} with m = max(x, y): one of them is 1, so one exponential does. x may be -infinity.
struct Weights {
  vfloat of_x, of_y, larger;
  vint x_is_larger;
};
VIGOR_INLINE Weights weights(vfloat x, vfloat y) {
  const vfloat smaller = exp(-abs(x - y)), one = broadcast(1.0f);
  const vint first = x >= y;
  return {select(first, one, smaller), select(first, smaller, one), select(first, x, y), first};
}

VIGOR_INLINE void update(State& s, const Weights& by, vfloat v) {
  s.a = fma(by.of_x, s.a, by.of_y * v);
  s.b = fma(by.of_x, s.b, by.of_y);
  s.p = by.larger;
}

template <class X, class Lanes>
void forward_channels(const WkvForward<X, float>& p, int64_t c, Lanes lanes) {
  const vfloat w = -exp(load(p.time_decay + c, lanes)), u = load(p.time_first + c, lanes);
  State s = p.state != nullptr ? load_state(p.state + c, p.C, lanes) : nothing_seen();
  for (int64_t t = 0; t < p.time.length; ++t) {
    if (p.chunk_states != nullptr && t % kWkvChunk == 0)
      store_state(p.chunk_states + t / kWkvChunk * 3 * p.C + c, p.C, s, lanes);
    if (p.time.is_reset(t)) s = nothing_seen();
    const vfloat k = load(p.k + t * p.k_stride + c, lanes), v = load(p.v + t * p.v_stride + c, lanes);
    const Weights now = weights(s.p, u + k);
    store(p.y + t * p.C + c, fma(now.of_x, s.a, now.of_y * v) / fma(now.of_x, s.b, now.of_y), lanes);
    update(s, weights(s.p + w, k), v);
  }
  for (int64_t t = p.time.length; t < p.time.steps; ++t) store(p.y + t * p.C + c, zero(), lanes);
  store_state(p.last_state + c, p.C, s, lanes);
}

// What flows back: the gradients of a and b at fixed p, and the part of p's that is not that of a scale (wkv.h).
struct StateGradient {
  vfloat da, db, dr;
};

template <class X, class Lanes>
VIGOR_INLINE void backward_step(const WkvBackward<X, float>& p, int64_t t, int64_t c, const State& s, vfloat w,
                                vfloat u, StateGradient& g, vfloat& dw, vfloat& du, Lanes lanes) {
  const vfloat k = load(p.k + t * p.k_stride + c, lanes), v = load(p.v + t * p.v_stride + c, lanes);
  const Weights now = weights(s.p, u + k), next = weights(s.p + w, k);
  const vfloat scale = 1.0f / fma(now.of_x, s.b, now.of_y);
  const vfloat y = fma(now.of_x, s.a, now.of_y * v) * scale;
  const vfloat dy = load(p.dy + t * p.C + c, lanes) * scale;
  const vfloat d_first = now.of_y * dy * (v - y);
  du += d_first;
  store(p.dv + t * p.C + c, fma(now.of_y, dy, next.of_y * g.da), lanes);
  vfloat dk = fma(next.of_y, fma(g.da, v, g.db), d_first);
  dk += select(next.x_is_larger, zero(), g.dr);
  store(p.dk + t * p.C + c, dk, lanes);
  g.dr = select(next.x_is_larger, g.dr, zero());
  dw += fma(next.of_x, fma(s.a, g.da, s.b * g.db), g.dr);
  g.da = fma(next.of_x, g.da, now.of_x * dy);
  g.db = fma(next.of_x, g.db, -now.of_x * dy * y);
}

template <class X, class Lanes>
void backward_channels(const WkvBackward<X, float>& p, int64_t c, Lanes lanes) {
  const vfloat w = -exp(load(p.time_decay + c, lanes)), u = load(p.time_first + c, lanes);
  vfloat dw = zero(), du = zero();
  StateGradient g{zero(), zero(), zero()};
  vfloat dp_last = zero();
  if (p.dlast_state != nullptr) {
    const State last = load_state(p.dlast_state + c, p.C, lanes);
    g = {last.a, last.b, zero()};
    dp_last = last.p;
  }
  State before[kWkvChunk];  // each step of a chunk, as it saw the state
  State s{zero(), zero(), zero()};
  const int64_t chunks = (p.time.length + kWkvChunk - 1) / kWkvChunk;
  for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
    const int64_t first = chunk * kWkvChunk;
    const int64_t steps = p.time.length - first < kWkvChunk ? p.time.length - first : kWkvChunk;
    s = load_state(p.chunk_states + chunk * 3 * p.C + c, p.C, lanes);
    for (int64_t i = 0; i < steps; ++i) {
      const int64_t t = first + i;
      before[i] = s = p.time.is_reset(t) ? nothing_seen() : s;
      const vfloat k = load(p.k + t * p.k_stride + c, lanes), v = load(p.v + t * p.v_stride + c, lanes);
      update(s, weights(s.p + w, k), v);
    }
    if (chunk == chunks - 1) g.dr = dp_last - fma(s.a, g.da, s.b * g.db);
    // At a reset the step saw p = -infinity: its weights of the past are 0, and so is what flows back.
    for (int64_t i = steps - 1; i >= 0; --i) backward_step(p, first + i, c, before[i], w, u, g, dw, du, lanes);
    s = before[0];
  }
  for (int64_t t = p.time.length; t < p.time.steps; ++t) {
    store(p.dk + t * p.C + c, zero(), lanes);
    store(p.dv + t * p.C + c, zero(), lanes);
  }
  store(p.sum_time_decay + c, w * dw, lanes);
  store(p.sum_time_first + c, du, lanes);
  if (p.dstate == nullptr) return;
  const vfloat dp = p.time.length == 0 ? dp_last : fma(s.a, g.da, s.b * g.db) + g.dr;
  store_state(p.dstate + c, p.C, {g.da, g.db, dp}, lanes);
}

}  // namespace

void wkv_forward(const WkvForward<float, float>& p) {
  for_each_vector(p.channels, [&](int64_t c, auto lanes) { forward_channels(p, c, lanes); });
}
void wkv_forward(const WkvForward<bf16, float>& p) {
  for_each_vector(p.channels, [&](int64_t c, auto lanes) { forward_channels(p, c, lanes); });
}
void wkv_backward(const WkvBackward<float, float>& p) {
  for_each_vector(p.channels, [&](int64_t c, auto lanes) { backward_channels(p, c, lanes); });
}
void wkv_backward(const WkvBackward<bf16, float>& p) {
  for_each_vector(p.channels, [&](int64_t c, auto lanes) { backward_channels(p, c, lanes); });
}

}  // namespace vigor::VIGOR_ISA
