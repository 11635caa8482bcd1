#pragma once
#include "kernels/gradient_view.h"
#include "kernels/wkv/wkv_simd.h"
#include "tensor/view.h"

namespace vigor {

// Shapes and dtypes as in wkv.h. k and v have unit stride in their last dimension; all else is contiguous.
struct WkvInputs {
  TensorView k, v, time_decay, time_first;
  TensorView state, lengths, resets;  // may be undefined
};

inline int64_t wkv_chunks(int64_t T) { return (T + kWkvChunk - 1) / kWkvChunk; }

struct WkvOutputs {
  TensorView y, last_state;
  TensorView chunk_states;  // [B,wkv_chunks(T),3,C]: the state before each chunk that begins with a real step;
                            // undefined: not wanted
};

struct WkvGradients {
  TensorView dy, dlast_state;             // incoming; the second may be undefined
  TensorView chunk_states;                // as the forward pass left it
  TensorView dk, dv;                      // written
  TensorView dstate;                      // written; may be undefined
  GradientView dtime_decay, dtime_first;  // may be undefined
  TensorView sums;                        // [B,2,C] work space in the dtype of the state: the two of each sequence
};

void wkv_forward_cpu(const WkvInputs& in, const WkvOutputs& out);
void wkv_backward_cpu(const WkvInputs& in, const WkvGradients& grads);

void wkv_forward_cuda(const WkvInputs& in, const WkvOutputs& out);
void wkv_backward_cuda(const WkvInputs& in, const WkvGradients& grads);

}  // namespace vigor
