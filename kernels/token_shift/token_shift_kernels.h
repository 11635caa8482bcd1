#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// Shapes and dtypes as in token_shift.h. x has unit stride in its last dimension; all else is contiguous.
struct TokenShiftInputs {
  TensorView x, mix;
  TensorView state, lengths, resets;  // may be undefined
};

// Time is cut into blocks of so many steps, the unit of work of a thread and of the sums for dmix. A GPU needs more of
// them.
inline int64_t token_shift_steps(Device device) { return device.is_cpu() ? 64 : 16; }
inline int64_t token_shift_blocks(int64_t T, Device device) {
  return (T + token_shift_steps(device) - 1) / token_shift_steps(device);
}

struct TokenShiftGradients {
  TensorView dy, dlast_state;  // incoming; the second may be undefined
  TensorView dx;               // written
  TensorView dstate;           // written; may be undefined
  GradientView dmix;           // may be undefined
  TensorView sums;             // [B token_shift_blocks,1,C] work space, in the dtype of mix
};

void token_shift_forward_cpu(const TokenShiftInputs& in, const TensorView& y, const TensorView& last_state);
void token_shift_backward_cpu(const TokenShiftInputs& in, const TokenShiftGradients& grads);

void token_shift_forward_cuda(const TokenShiftInputs& in, const TensorView& y, const TensorView& last_state);
void token_shift_backward_cuda(const TokenShiftInputs& in, const TokenShiftGradients& grads);

}  // namespace vigor
