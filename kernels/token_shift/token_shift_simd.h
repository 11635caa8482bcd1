#pragma once
// Steps begin .. end-1 of one sequence. X is the type of activations, S that of mix and state.
#include "kernels/sequence_steps.h"
#include "tensor/simd.h"

namespace vigor {

template <class X, class S>
struct TokenShiftForward {
  SequenceSteps time;
  int64_t begin, end;
  int64_t channels, x_stride;  // x_stride: from one step of x to the next
  const X* x;                  // step 0 of the sequence
  X* y;                        // rows of `channels`
  const S* mix;
  const S* state;  // [C] or null: zeros
  S* last_state;   // [C]; written by the block that has the last real step
};

template <class X, class S>
struct TokenShiftBackward {
  SequenceSteps time;
  int64_t begin, end;
  int64_t channels, x_stride;
  const X *x, *dy;
  X* dx;
  const S* mix;
  const S *state, *dlast_state;  // [C] or null: zeros
  S* dstate;                     // [C] or null; written by the first block
  S* dmix;                       // [C]: the sum over these steps
};

VIGOR_PER_ISA(void token_shift_forward(const TokenShiftForward<float, float>& p);
              void token_shift_forward(const TokenShiftForward<bf16, float>& p);
              void token_shift_backward(const TokenShiftBackward<float, float>& p);
              void token_shift_backward(const TokenShiftBackward<bf16, float>& p);)

}  // namespace vigor
