#pragma once
// One time step of the convolution for neighbouring channels. The caller chooses the rows: those of x, of the state, or
// none.
#include "tensor/simd.h"

namespace vigor {

inline constexpr int kConvTaps = 8;  // the most there can be

// y = act(bias + sum over k of weight[k] inputs[k])
template <class X>
struct ConvForwardStep {
  int64_t channels, taps;
  const X* inputs[kConvTaps];  // oldest first; null: zeros
  const float* weight;         // [taps+1,..], rows `stride` apart; the last one is the bias
  int64_t stride;
  X* y;
  bool silu;
};

// dp = dy act'(p), and its products with the inputs are added to dweight.
template <class X>
struct ConvGradientStep {
  ConvForwardStep<X> forward;  // without y
  const X* dy;
  float* dp;
  float* dweight;  // [taps+1,..], rows `stride` apart; the last one is the bias's
};

// dinput = dlast + sum over j of weight[taps-1-j] dp[j]
template <class X>
struct ConvInputGradientStep {
  int64_t channels, taps;
  const float* dp[kConvTaps];  // of the steps that see this input, beginning with its own; null: none
  const float* weight;
  int64_t stride;
  const X* dlast;  // or null
  X* dinput;
};

// clang-format off
VIGOR_PER_ISA(
    void conv_forward_step(const ConvForwardStep<float>& p);
    void conv_forward_step(const ConvForwardStep<bf16>& p);
    void conv_gradient_step(const ConvGradientStep<float>& p);
    void conv_gradient_step(const ConvGradientStep<bf16>& p);
    void conv_input_gradient_step(const ConvInputGradientStep<float>& p);
    void conv_input_gradient_step(const ConvInputGradientStep<bf16>& p);)
// clang-format on

}  // namespace vigor
