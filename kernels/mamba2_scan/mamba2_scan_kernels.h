#pragma once
#include "kernels/gradient_view.h"
#include "tensor/view.h"

namespace vigor {

// Shapes and dtypes as in mamba2_scan.h. The last stride of x, ssm_b and ssm_c is 1; dt has any strides.
struct Mamba2ScanInputs {
  TensorView x, dt, ssm_b, ssm_c;
  TensorView a_log, skip_d, dt_bias;  // contiguous
  TensorView state, lengths, resets;  // contiguous; may be undefined
  double dt_min, dt_max;
};

struct Mamba2ScanSizes {
  int64_t B, T, H, P, G, N, group;  // group: the heads that read one B and C
  explicit Mamba2ScanSizes(const Mamba2ScanInputs& in)
      : B(in.x.sizes[0]),
        T(in.x.sizes[1]),
        H(in.x.sizes[2]),
        P(in.x.sizes[3]),
        G(in.ssm_b.sizes[2]),
        N(in.ssm_b.sizes[3]),
        group(H / G) {}
};

struct Mamba2ScanOutputs {
  TensorView y, last_state;  // contiguous
  TensorView chunk_states;   // S before each chunk, for backward; undefined: not wanted
};

struct Mamba2ScanGradients {
  TensorView dy;            // last stride 1
  TensorView dlast_state;   // contiguous; may be undefined
  TensorView chunk_states;  // as the forward pass left them

  TensorView dx, ddt, db, dc;              // contiguous; written, in the dtype of x
  TensorView dstate;                       // written; may be undefined
  GradientView da_log, dskip_d, ddt_bias;  // always defined: their sums ride on the scan. Written in this order, so
                                           // that parameters may share a buffer
};

// ---- CPU ----

// Sizes of chunk_states, f32; rank 0 for f64, which saves none.
Shape mamba2_scan_chunk_states_cpu(const Mamba2ScanInputs& in);
// Elements of scratch, in the type of states.
int64_t mamba2_scan_forward_scratch_cpu(const Mamba2ScanInputs& in);
int64_t mamba2_scan_backward_scratch_cpu(const Mamba2ScanInputs& in);

void mamba2_scan_forward_cpu(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out, const TensorView& scratch);
void mamba2_scan_backward_cpu(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, const TensorView& scratch);

// The definition, in f64. sums [B,3,H]: da_log, dD and ddt_bias of each sequence, written.
void mamba2_scan_forward_naive(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out);
int64_t mamba2_scan_backward_naive_scratch(const Mamba2ScanInputs& in);
void mamba2_scan_backward_naive(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, const TensorView& sums,
                                double* scratch);

// ---- CUDA: chunks of 64 steps, K = ceil(T/64) of them a sequence. scratch f32; chunk_states [B,K,H,P,N] f32 ----

inline constexpr int64_t kMamba2CudaChunk = 64;
inline int64_t mamba2_scan_chunks_cuda(const Mamba2ScanInputs& in) {
  return (in.x.sizes[1] + kMamba2CudaChunk - 1) / kMamba2CudaChunk;
}

// Elements of scratch.
int64_t mamba2_scan_forward_scratch_cuda(const Mamba2ScanInputs& in);
int64_t mamba2_scan_backward_scratch_cuda(const Mamba2ScanInputs& in);

// Without chunk_states: T = 1, in a single launch that needs no scratch.
void mamba2_scan_forward_cuda(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out, const TensorView& scratch);
void mamba2_scan_backward_cuda(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, const TensorView& scratch);

}  // namespace vigor
