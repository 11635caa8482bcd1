#pragma once
#include <algorithm>

#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// Shapes and dtypes as in causal_conv1d.h. x has last stride 1; all other views are contiguous.
struct CausalConv1dInputs {
  TensorView x, weight;
  TensorView bias, state, lengths, resets;  // may be undefined
  int64_t K;
  bool silu;
};

struct CausalConv1dGradients {
  TensorView dy;
  TensorView dlast_state;  // may be undefined

  TensorView dx;                // written
  TensorView dstate;            // written; may be undefined
  GradientView dweight, dbias;  // may be undefined
};

// Length of a row of `taps`: rows a multiple of 4 KB apart would share the same few sets of the first-level cache.
inline int64_t causal_conv1d_tap_step(int64_t C) { return C + 80; }
// `taps` [K+1,tap_step] (f32, f64 for f64) is scratch: the weight transposed, so that channels are neighbours, and the
// bias.
void causal_conv1d_forward_cpu(const TensorView& y, const TensorView& last_state, const CausalConv1dInputs& in,
                               const TensorView& taps);
// `dtaps`, of the same sizes and dtype, is scratch for dweight, transposed, and dbias.
void causal_conv1d_backward_cpu(const CausalConv1dInputs& in, const CausalConv1dGradients& grads,
                                const TensorView& taps, const TensorView& dtaps);

void causal_conv1d_forward_cuda(const TensorView& y, const TensorView& last_state, const CausalConv1dInputs& in);
// partial [parts,K+1,C] f32 is scratch, parts = causal_conv1d_parts(B, T).
void causal_conv1d_backward_cuda(const CausalConv1dInputs& in, const CausalConv1dGradients& grads,
                                 const TensorView& partial);

inline constexpr int64_t kConvRun = 32;       // steps of one thread
inline constexpr int64_t kConvBlockRuns = 4;  // runs side by side in a block
inline int64_t causal_conv1d_runs(int64_t T) { return (T + kConvRun - 1) / kConvRun; }
inline int64_t causal_conv1d_parts(int64_t B, int64_t T) {
  return std::min<int64_t>(64, (B * causal_conv1d_runs(T) + kConvBlockRuns - 1) / kConvBlockRuns);
}

}  // namespace vigor
