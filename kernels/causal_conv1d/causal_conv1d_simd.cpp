#include "kernels/causal_conv1d/causal_conv1d_simd.h"

#include "kernels/vector_loop.h"

namespace vigor::VIGOR_ISA {
namespace {

// p of one vector of channels; the rows that count are inputs[first] .. inputs[taps-1].
template <class X, class Lanes>
VIGOR_INLINE vfloat convolved(const ConvForwardStep<X>& p, int64_t first, int64_t i, Lanes lanes) {
  vfloat sum = load(p.weight + p.taps * p.stride + i, lanes);
  for (int64_t k = first; k < p.taps; ++k)
    sum = fma(load(p.weight + k * p.stride + i, lanes), load(p.inputs[k] + i, lanes), sum);
  return sum;
}

template <class Row>
int64_t first_row(const Row* const* rows, int64_t taps) {
  int64_t k = 0;
  while (k < taps && rows[k] == nullptr) ++k;
  return k;
}

template <class X>
void forward(const ConvForwardStep<X>& p) {
  const int64_t first = first_row(p.inputs, p.taps);
  for_each_vector(p.channels, [&](int64_t i, auto lanes) {
    const vfloat v = convolved(p, first, i, lanes);
    store(p.y + i, p.silu ? v * sigmoid(v) : v, lanes);
  });
}

template <class X>
void gradient(const ConvGradientStep<X>& p) {
  const ConvForwardStep<X>& in = p.forward;
  const int64_t first = first_row(in.inputs, in.taps);
  for_each_vector(in.channels, [&](int64_t i, auto lanes) {
    vfloat g = load(p.dy + i, lanes);
    if (in.silu) {
      const vfloat v = convolved(in, first, i, lanes), s = sigmoid(v);
      g *= s * (1.0f + v * (1.0f - s));
    }
    store(p.dp + i, g, lanes);
    for (int64_t k = first; k < in.taps; ++k) {
      float* dweight = p.dweight + k * in.stride + i;
      store(dweight, fma(g, load(in.inputs[k] + i, lanes), load(dweight, lanes)), lanes);
    }
    float* dbias = p.dweight + in.taps * in.stride + i;
    store(dbias, g + load(dbias, lanes), lanes);
  });
}

template <class X>
void input_gradient(const ConvInputGradientStep<X>& p) {
  const int64_t first = first_row(p.dp, p.taps);  // an input of the state is not seen before step 0
  for_each_vector(p.channels, [&](int64_t i, auto lanes) {
    vfloat sum = p.dlast != nullptr ? load(p.dlast + i, lanes) : zero();
    for (int64_t j = first; j < p.taps && p.dp[j] != nullptr; ++j)
      sum = fma(load(p.weight + (p.taps - 1 - j) * p.stride + i, lanes), load(p.dp[j] + i, lanes), sum);
    store(p.dinput + i, sum, lanes);
  });
}

}  // namespace

void conv_forward_step(const ConvForwardStep<float>& p) { forward(p); }
void conv_forward_step(const ConvForwardStep<bf16>& p) { forward(p); }
void conv_gradient_step(const ConvGradientStep<float>& p) { gradient(p); }
void conv_gradient_step(const ConvGradientStep<bf16>& p) { gradient(p); }
void conv_input_gradient_step(const ConvInputGradientStep<float>& p) { input_gradient(p); }
void conv_input_gradient_step(const ConvInputGradientStep<bf16>& p) { input_gradient(p); }

}  // namespace vigor::VIGOR_ISA
