#include "kernels/causal_conv1d/causal_conv1d_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// What a step reads, copied out of its arguments: stores of vectors might change those, for all the compiler knows.
// kTaps rows all of which count, or, with kTaps = 0, those from `first` on.
template <int kTaps, class X>
struct Rows {
  const X* inputs[kConvTaps];
  const float* weight;
  int64_t stride, taps, first;

  static Rows from(const ConvForwardStep<X>& p, int64_t first_row) {
    Rows rows{{}, p.weight, p.stride, p.taps, first_row};
    for (int k = 0; k < kConvTaps; ++k) rows.inputs[k] = p.inputs[k];
    return rows;
  }
  int64_t begin() const { return kTaps > 0 ? 0 : first; }
  int64_t end() const { return kTaps > 0 ? kTaps : taps; }
  const float* bias() const { return weight + end() * stride; }

  // p of one vector of channels.
  template <class Lanes>
  vfloat convolved(int64_t i, Lanes lanes) const {
    vfloat sum = load(bias() + i, lanes);
    for (int64_t k = begin(); k < end(); ++k)
      sum = fma(load(weight + k * stride + i, lanes), load(inputs[k] + i, lanes), sum);
    return sum;
  }
};

template <class Row>
int64_t first_row(const Row* const* rows, int64_t taps) {
  int64_t k = 0;
  while (k < taps && rows[k] == nullptr) ++k;
  return k;
}

// f(rows) with the loops over the published four taps unrolled, but for the first steps of a sequence.
template <class X, class F>
VIGOR_INLINE void with_rows(const ConvForwardStep<X>& p, F f) {
  const int64_t first = first_row(p.inputs, p.taps);
  if (p.taps == 4 && first == 0) f(Rows<4, X>::from(p, 0));
  else f(Rows<0, X>::from(p, first));
}

template <class X>
void forward(const ConvForwardStep<X>& p) {
  X* y = p.y;
  with_rows(p, [&](auto rows) {
    if (p.silu)
      for_each_vector(p.channels, [=](int64_t i, auto lanes) {
        const vfloat v = rows.convolved(i, lanes);
        store(y + i, v * sigmoid(v), lanes);
      });
    else for_each_vector(p.channels, [=](int64_t i, auto lanes) { store(y + i, rows.convolved(i, lanes), lanes); });
  });
}

template <class X>
void gradient(const ConvGradientStep<X>& p) {
  const X* dy = p.dy;
  float *dp = p.dp, *all_dweight = p.dweight;
  const bool silu = p.forward.silu;
  with_rows(p.forward, [&](auto rows) {
    for_each_vector(p.forward.channels, [=](int64_t i, auto lanes) {
      vfloat g = load(dy + i, lanes);
      if (silu) {
        const vfloat v = rows.convolved(i, lanes), s = sigmoid(v);
        g *= s * (1.0f + v * (1.0f - s));
      }
      store(dp + i, g, lanes);
      for (int64_t k = rows.begin(); k < rows.end(); ++k) {
        float* dweight = all_dweight + k * rows.stride + i;
        store(dweight, fma(g, load(rows.inputs[k] + i, lanes), load(dweight, lanes)), lanes);
      }
      float* dbias = all_dweight + rows.end() * rows.stride + i;
      store(dbias, g + load(dbias, lanes), lanes);
    });
  });
}

template <class X>
void input_gradient(const ConvInputGradientStep<X>& p) {
  const int64_t first = first_row(p.dp, p.taps);  // an input of the state is not seen before step 0
  int64_t end = first;
  while (end < p.taps && p.dp[end] != nullptr) ++end;
  const float *dp[kConvTaps], *last_weight = p.weight + (p.taps - 1) * p.stride;
  for (int j = 0; j < kConvTaps; ++j) dp[j] = p.dp[j];
  const int64_t stride = p.stride;
  const X* dlast = p.dlast;
  X* dinput = p.dinput;
  const auto add_steps = [&](int64_t begin, int64_t behind) {
    for_each_vector(p.channels, [&](int64_t i, auto lanes) {
      vfloat sum = dlast != nullptr ? load(dlast + i, lanes) : zero();
      for (int64_t j = begin; j < behind; ++j)
        sum = fma(load(last_weight - j * stride + i, lanes), load(dp[j] + i, lanes), sum);
      store(dinput + i, sum, lanes);
    });
  };
  if (first == 0 && end == 4) add_steps(0, 4);
  else add_steps(first, end);
}

}  // namespace

void conv_forward_step(const ConvForwardStep<float>& p) { forward(p); }
void conv_forward_step(const ConvForwardStep<bf16>& p) { forward(p); }
void conv_gradient_step(const ConvGradientStep<float>& p) { gradient(p); }
void conv_gradient_step(const ConvGradientStep<bf16>& p) { gradient(p); }
void conv_input_gradient_step(const ConvInputGradientStep<float>& p) { input_gradient(p); }
void conv_input_gradient_step(const ConvInputGradientStep<bf16>& p) { input_gradient(p); }

}  // namespace vigor::VIGOR_ISA
