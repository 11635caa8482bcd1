#pragma once
// Some neighbouring channels of one sequence. X is the type of activations, S that of parameters and states.
#include "kernels/sequence_steps.h"
#include "tensor/simd.h"

namespace vigor {

inline constexpr int64_t kWkvChunk = 32;  // steps from one saved state to the next

// Rows of y, dy, dk, dv and of each of the three parts of a state are C apart.
template <class X, class S>
struct WkvForward {
  SequenceSteps time;
  int64_t channels, C;
  int64_t k_stride, v_stride;  // from one step to the next
  const X *k, *v;
  X* y;
  const S *time_decay, *time_first;
  const S* state;   // [3,C] or null: nothing seen
  S* last_state;    // [3,C]
  S* chunk_states;  // [chunks,3,C] or null
};

template <class X, class S>
struct WkvBackward {
  SequenceSteps time;
  int64_t channels, C;
  int64_t k_stride, v_stride;
  const X *k, *v, *dy;
  X *dk, *dv;
  const S *time_decay, *time_first;
  const S* chunk_states;               // [chunks,3,C]
  const S* dlast_state;                // [3,C] or null: zeros
  S* dstate;                           // [3,C] or null
  S *sum_time_decay, *sum_time_first;  // of this sequence
};

VIGOR_PER_ISA(void wkv_forward(const WkvForward<float, float>& p); void wkv_forward(const WkvForward<bf16, float>& p);
              void wkv_backward(const WkvBackward<float, float>& p);
              void wkv_backward(const WkvBackward<bf16, float>& p);)

}  // namespace vigor
