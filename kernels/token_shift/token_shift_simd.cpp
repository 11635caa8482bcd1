#include "kernels/token_shift/token_shift_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// x_{t-1} as step t sees it, for the channels from c on.
template <class P, class Lanes>
VIGOR_INLINE vfloat token_before(const P& p, int64_t t, int64_t c, Lanes lanes) {
  if (p.time.is_reset(t)) return zero();
  if (t > 0) return load(p.x + (t - 1) * p.x_stride + c, lanes);
  return p.state != nullptr ? load(p.state + c, lanes) : zero();
}

template <class X>
void forward(const TokenShiftForward<X, float>& p) {
  for (int64_t t = p.begin; t < p.end; ++t)
    for_each_vector(p.channels, [&](int64_t c, auto lanes) {
      X* y = p.y + t * p.channels + c;
      if (t >= p.time.length) return store(y, zero(), lanes);
      const vfloat mix = load(p.mix + c, lanes), x = load(p.x + t * p.x_stride + c, lanes);
      store(y, fma(mix, x, (1.0f - mix) * token_before(p, t, c, lanes)), lanes);
    });
  const int64_t last = p.time.length - 1;
  const bool is_here = last < 0 ? p.begin == 0 : p.begin <= last && last < p.end;
  for_each_vector(is_here ? p.channels : 0, [&](int64_t c, auto lanes) {
    const vfloat state = p.state != nullptr ? load(p.state + c, lanes) : zero();
    store(p.last_state + c, last < 0 ? state : load(p.x + last * p.x_stride + c, lanes), lanes);
  });
}

template <class X>
void backward(const TokenShiftBackward<X, float>& p) {
  const auto passes_back = [&](int64_t t) {  // whether step t sees the step before it
    return t < p.time.length && !p.time.is_reset(t);
  };
  for_each_vector(p.channels, [&](int64_t c, auto lanes) {
    const vfloat mix = load(p.mix + c, lanes), rest = 1.0f - mix;
    vfloat dmix = zero();
    for (int64_t t = p.begin; t < p.end; ++t) {
      X* dx = p.dx + t * p.channels + c;
      if (t >= p.time.length) {
        store(dx, zero(), lanes);
        continue;
      }
      const X* dy_row = p.dy + t * p.channels + c;
      const vfloat dy = load(dy_row, lanes);
      vfloat sum = mix * dy;
      if (passes_back(t + 1)) sum = fma(rest, load(dy_row + p.channels, lanes), sum);
      if (t == p.time.length - 1 && p.dlast_state != nullptr) sum += load(p.dlast_state + c, lanes);
      store(dx, sum, lanes);
      dmix = fma(dy, load(p.x + t * p.x_stride + c, lanes) - token_before(p, t, c, lanes), dmix);
    }
    store(p.dmix + c, dmix, lanes);
    if (p.dstate == nullptr || p.begin > 0) return;
    vfloat dstate = zero();
    if (p.time.length == 0 && p.dlast_state != nullptr) dstate = load(p.dlast_state + c, lanes);
    if (passes_back(0)) dstate = rest * load(p.dy + c, lanes);
    store(p.dstate + c, dstate, lanes);
  });
}

}  // namespace

void token_shift_forward(const TokenShiftForward<float, float>& p) { forward(p); }
void token_shift_forward(const TokenShiftForward<bf16, float>& p) { forward(p); }
void token_shift_backward(const TokenShiftBackward<float, float>& p) { backward(p); }
void token_shift_backward(const TokenShiftBackward<bf16, float>& p) { backward(p); }

}  // namespace vigor::VIGOR_ISA
