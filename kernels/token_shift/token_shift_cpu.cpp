#include <algorithm>

#include "kernels/block_sums.h"
#include "kernels/parallel.h"
#include "kernels/sequence_batch.h"
#include "kernels/token_shift/token_shift_kernels.h"
#include "kernels/token_shift/token_shift_simd.h"

namespace vigor {
namespace {

// ---- the equations as they stand: f64 ----

double value_or_zero(const double* p, int64_t i) { return p != nullptr ? p[i] : 0; }

// x_{t-1} as step t sees it.
template <class P>
double token_before(const P& p, int64_t t, int64_t c) {
  if (p.time.is_reset(t)) return 0;
  return t > 0 ? p.x[(t - 1) * p.x_stride + c] : value_or_zero(p.state, c);
}

void forward_steps(const TokenShiftForward<double, double>& p) {
  const int64_t last = p.time.length - 1;
  for (int64_t c = 0; c < p.channels; ++c) {
    if (p.begin == 0 && last < 0) p.last_state[c] = value_or_zero(p.state, c);
    for (int64_t t = p.begin; t < p.end; ++t) {
      double& y = p.y[t * p.channels + c];
      if (t > last) {
        y = 0;
        continue;
      }
      const double x = p.x[t * p.x_stride + c];
      y = p.mix[c] * x + (1 - p.mix[c]) * token_before(p, t, c);
      if (t == last) p.last_state[c] = x;
    }
  }
}

void backward_steps(const TokenShiftBackward<double, double>& p) {
  const int64_t last = p.time.length - 1;
  const auto dy = [&](int64_t t, int64_t c) { return t <= last ? p.dy[t * p.channels + c] : 0; };
  // What step t hands back to the step before it.
  const auto handed_back = [&](int64_t t, int64_t c) {
    return t > last || p.time.is_reset(t) ? 0 : (1 - p.mix[c]) * dy(t, c);
  };
  for (int64_t c = 0; c < p.channels; ++c) {
    p.dmix[c] = 0;
    for (int64_t t = p.begin; t < p.end; ++t) {
      double& dx = p.dx[t * p.channels + c];
      dx = p.mix[c] * dy(t, c) + handed_back(t + 1, c);
      if (t == last) dx += value_or_zero(p.dlast_state, c);
      if (t <= last) p.dmix[c] += dy(t, c) * (p.x[t * p.x_stride + c] - token_before(p, t, c));
    }
    if (p.dstate != nullptr && p.begin == 0)
      p.dstate[c] = last < 0 ? value_or_zero(p.dlast_state, c) : handed_back(0, c);
  }
}

// ---- f32 and bf16: vectors ----

template <class X>
void forward_steps(const TokenShiftForward<X, float>& p) {
  VIGOR_PICK(token_shift_forward)(p);
}
template <class X>
void backward_steps(const TokenShiftBackward<X, float>& p) {
  VIGOR_PICK(token_shift_backward)(p);
}

// ---- all blocks of steps of all sequences ----

// f(b, block, begin, end)
template <class F>
void for_each_block(const TensorView& x, F&& f) {
  const int64_t T = x.sizes[1], steps = token_shift_steps(kCpu), blocks = token_shift_blocks(T, kCpu),
                all = x.sizes[0] * blocks;
  parallel_for(all, x.numel() > kElementsPerBlock, [&](int64_t i) {
    const int64_t begin = i % blocks * steps;
    f(i / blocks, i, begin, std::min(T, begin + steps));
  });
}

template <class X, class S>
void token_shift_forward(const TokenShiftInputs& in, const TensorView& y, const TensorView& last_state) {
  const int64_t T = in.x.sizes[1], C = in.x.sizes[2];
  for_each_block(in.x, [&](int64_t b, int64_t, int64_t begin, int64_t end) {
    forward_steps(TokenShiftForward<X, S>{steps_of(in.lengths, in.resets, b, T), begin, end, C, in.x.strides[1],
                                          in.x.as<X>() + b * in.x.strides[0], y.as<X>() + b * T * C, in.mix.as<S>(),
                                          row_or_null<S>(in.state, b), last_state.as<S>() + b * C});
  });
}

template <class X, class S>
void token_shift_backward(const TokenShiftInputs& in, const TokenShiftGradients& grads) {
  const int64_t T = in.x.sizes[1], C = in.x.sizes[2];
  for_each_block(in.x, [&](int64_t b, int64_t block, int64_t begin, int64_t end) {
    backward_steps(TokenShiftBackward<X, S>{
        steps_of(in.lengths, in.resets, b, T), begin, end, C, in.x.strides[1], in.x.as<X>() + b * in.x.strides[0],
        grads.dy.as<X>() + b * T * C, grads.dx.as<X>() + b * T * C, in.mix.as<S>(), row_or_null<S>(in.state, b),
        row_or_null<S>(grads.dlast_state, b), row_or_null<S>(grads.dstate, b), grads.sums.as<S>() + block * C});
  });
  add_blocks(grads.dmix, grads.sums, 0);
}

}  // namespace

void token_shift_forward_cpu(const TokenShiftInputs& in, const TensorView& y, const TensorView& last_state) {
  visit_float(in.x.dtype, "token_shift", [&]<class X>() { token_shift_forward<X, Accumulator<X>>(in, y, last_state); });
}

void token_shift_backward_cpu(const TokenShiftInputs& in, const TokenShiftGradients& grads) {
  visit_float(in.x.dtype, "token_shift", [&]<class X>() { token_shift_backward<X, Accumulator<X>>(in, grads); });
}

}  // namespace vigor
