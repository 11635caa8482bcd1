#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// All views contiguous; shapes and dtypes as in hybrid_mixer.h.
struct HybridMixerInputs {
  TensorView x, w_mix, ssm_a, ssm_b, ssm_c, skip_d;
  TensorView h0, s0, lengths, resets;  // may be undefined
};

struct HybridMixerOutputs {
  TensorView y, h_last, s_last;
  TensorView s;         // [B,T,n]: s_t, zeros in padding
  TensorView a_packed;  // scratch [n, hybrid_mixer_packed_columns(n)]
};

struct HybridMixerGradients {
  TensorView dy, dh_last, ds_last;  // incoming; the last two may be undefined
  TensorView s;                     // as the forward pass left it

  TensorView dx;                 // written
  TensorView dh0, ds0;           // written; may be undefined
  GradientView dw_mix, dskip_d;  // always defined: their sums ride on the scan that dx needs
  GradientView da, db, dc;       // may be undefined

  TensorView g, s_previous;  // scratch [B,T,n]: g_t, and the s_{t-1} that step t saw
  TensorView h;              // scratch [T,d]: h of one sequence
  TensorView a_packed;       // scratch as in the forward pass
};

inline int64_t hybrid_mixer_packed_columns(int64_t n) { return (n + 15) / 16 * 16; }

void hybrid_mixer_forward_cpu(const HybridMixerInputs& in, const HybridMixerOutputs& out);
void hybrid_mixer_backward_cpu(const HybridMixerInputs& in, const HybridMixerGradients& grads);

}  // namespace vigor
