#pragma once
#include "kernels/gradient_view.h"
#include "kernels/selective_scan/selective_scan_simd.h"
#include "tensor/view.h"

namespace vigor {

// Shapes and dtypes as in selective_scan.h. x, delta, b and c have unit stride in their last dimension; all else is
// contiguous.
struct SelectiveScanArguments {
  TensorView x, delta, b, c, a_log, d, delta_bias;
  TensorView state, lengths, resets;  // may be undefined
};

inline int64_t selective_scan_chunks(int64_t T) { return (T + kSelectiveChunk - 1) / kSelectiveChunk; }

// CUDA: lanes that share a channel, four states each, and the threads of a block.
inline constexpr int64_t kSelectiveCudaThreads = 128, kSelectiveCudaStates = 64;  // most states
inline int64_t selective_scan_lanes(int64_t N) { return N <= 16 ? 4 : 16; }
// Blocks of channels, each of which leaves sums for dB and dC.
inline int64_t selective_scan_blocks(int64_t E, int64_t N, Device device) {
  const int64_t channels = device.is_cpu() ? kSelectiveChannels : kSelectiveCudaThreads / selective_scan_lanes(N);
  return (E + channels - 1) / channels;
}

struct SelectiveScanOutputs {
  TensorView y, last_state;
  TensorView chunk_states;  // [B,selective_scan_chunks(T),E,N]: the states before each chunk that begins with a real
                            // step; undefined: not wanted
};

struct SelectiveScanGradients {
  TensorView dy, dlast_state;            // incoming; the second may be undefined
  TensorView chunk_states;               // as the forward pass left it
  TensorView dx, ddelta, db, dc;         // written
  TensorView dstate;                     // [B,E,N] written, wanted or not: the gradient of the states on its way back
  GradientView da_log, dd, ddelta_bias;  // may be undefined
  // Work space in the dtype of the states.
  TensorView sums_bc;  // [B,selective_scan_blocks,T,2,N]: dB and dC of each block of channels
  TensorView sums_a;   // [B,1,E N]: da_log of each sequence
  TensorView sums_d;   // [B,2,E]: dd and ddelta_bias of each sequence
};

void selective_scan_forward_cpu(const SelectiveScanArguments& in, const SelectiveScanOutputs& out);
void selective_scan_backward_cpu(const SelectiveScanArguments& in, const SelectiveScanGradients& grads);

void selective_scan_forward_cuda(const SelectiveScanArguments& in, const SelectiveScanOutputs& out);
void selective_scan_backward_cuda(const SelectiveScanArguments& in, const SelectiveScanGradients& grads);

}  // namespace vigor
