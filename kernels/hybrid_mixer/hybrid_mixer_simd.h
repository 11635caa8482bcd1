#pragma once
// The two sequential scans of the hybrid mixer, for one sequence. X is the type of activations, S that of states.
#include "kernels/sequence_steps.h"
#include "tensor/simd.h"

namespace vigor {

// s_t = A s_{t-1} + u_t
template <class S>
struct HybridStateForward {
  SequenceSteps time;
  int64_t n, columns;  // columns: row length of the packed matrix, a multiple of 16
  const S* a_t;        // [n,columns], A transposed and padded with zeros
  S* s;                // [steps,n]: in u_t = B x_t, out s_t
  const S* s0;         // [n] or null
  S* s_last;           // [n]
};

// g_t = e_t + A^T g_{t+1}
template <class S>
struct HybridStateBackward {
  SequenceSteps time;
  int64_t n, columns;
  const S* a;        // [n,columns], A padded with zeros
  S* g;              // [steps,n]: in e_t = C^T dy_t, out g_t
  const S* s;        // [steps,n]
  const S* s0;       // [n] or null
  const S* ds_last;  // [n] or null
  S* s_previous;     // [steps,n]: out, the s_{t-1} that step t saw
  S* ds0;            // [n] or null
};

// h_t = w h_{t-1} + (1 - w) x_t and y_t = D h_t, for `channels` neighbouring channels; rows are `d` apart.
template <class X, class S>
struct HybridChannelsForward {
  SequenceSteps time;
  int64_t channels, d;
  const X* x;
  X* y;
  const S *w, *skip_d;
  const S* h0;  // null: zeros
  S* h_last;
};

template <class X, class S>
struct HybridChannelsBackward {
  SequenceSteps time;
  int64_t channels, d;
  const X *x, *dy;
  X* dx;  // (1 - w) q_t
  const S *w, *skip_d;
  const S *h0, *dh_last;  // null: zeros
  S* dh0;                 // or null
  S *dw, *dskip_d;        // added to
  S* h;                   // scratch [length,d]
};

// clang-format off
VIGOR_PER_ISA(
    void hybrid_state_forward(const HybridStateForward<float>& p);
    void hybrid_state_backward(const HybridStateBackward<float>& p);
    void hybrid_channels_forward(const HybridChannelsForward<float, float>& p);
    void hybrid_channels_forward(const HybridChannelsForward<bf16, float>& p);
    void hybrid_channels_backward(const HybridChannelsBackward<float, float>& p);
    void hybrid_channels_backward(const HybridChannelsBackward<bf16, float>& p);)
// clang-format on

}  // namespace vigor
