#pragma once
// Up to 64 neighbouring channels of one sequence. X is the type of activations, S that of parameters and states.
#include "kernels/sequence_steps.h"
#include "tensor/simd.h"

namespace vigor {

inline constexpr int64_t kSelectiveChunk = 16;     // steps from one saved state to the next
inline constexpr int64_t kSelectiveChannels = 64;  // channels of a unit of work
inline constexpr int64_t kSelectiveMaxStates = 128;

// A row of an activation: where step 0 is, and how far the next step.
template <class X>
struct SelectiveRows {
  const X* data;
  int64_t stride;
};

template <class X, class S>
struct SelectiveScanInputs {
  SequenceSteps time;
  int64_t channels, E, N;
  SelectiveRows<X> x, delta;  // [T,channels]
  SelectiveRows<X> b, c;      // [T,N]
  const S* a_log;             // [channels,N]
  const S *d, *delta_bias;    // [channels]
};

template <class X, class S>
struct SelectiveScanForward {
  SelectiveScanInputs<X, S> in;
  X* y;             // rows E apart
  const S* state;   // [channels,N] or null: zeros
  S* last_state;    // [channels,N]
  S* chunk_states;  // [channels,N], chunks E*N apart; or null
};

template <class X, class S>
struct SelectiveScanBackward {
  SelectiveScanInputs<X, S> in;
  const X* dy;  // rows E apart, as those of dx and ddelta
  X *dx, *ddelta;
  const S* chunk_states;
  const S* dlast_state;  // [channels,N] or null: zeros
  S* dstate;             // [channels,N]
  S* sums_bc;            // [T,2,N]: the parts of dB and dC of these channels
  S* sum_a_log;          // [channels,N]; of this sequence, as the two below
  S *sum_d, *sum_bias;   // [channels]
};

VIGOR_PER_ISA(void selective_scan_forward(const SelectiveScanForward<float, float>& p);
              void selective_scan_forward(const SelectiveScanForward<bf16, float>& p);
              void selective_scan_backward(const SelectiveScanBackward<float, float>& p);
              void selective_scan_backward(const SelectiveScanBackward<bf16, float>& p);)

}  // namespace vigor
