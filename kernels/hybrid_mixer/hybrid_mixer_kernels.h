#pragma once
#include <algorithm>

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
  TensorView a_packed;  // CPU: scratch [n, hybrid_mixer_packed_columns(n)]
};

struct HybridMixerGradients {
  TensorView dy, dh_last, ds_last;  // incoming; the last two may be undefined
  TensorView s;                     // as the forward pass left it

  TensorView dx;                 // written
  TensorView dh0, ds0;           // written; may be undefined
  GradientView dw_mix, dskip_d;  // always defined: their sums ride on the scan that dx needs
  GradientView da, db, dc;       // may be undefined

  TensorView g;           // scratch [B,T,n]: g_t
  TensorView s_previous;  // CPU: scratch [B,T,n], the s_{t-1} that step t saw
  TensorView h;           // CPU: scratch [T,d], h of one sequence
  TensorView a_packed;    // CPU: scratch as in the forward pass
};

inline int64_t hybrid_mixer_packed_columns(int64_t n) { return (n + 15) / 16 * 16; }

void hybrid_mixer_forward_cpu(const HybridMixerInputs& in, const HybridMixerOutputs& out);
void hybrid_mixer_backward_cpu(const HybridMixerInputs& in, const HybridMixerGradients& grads);

// ---- CUDA: time is cut into chunks of 32 steps, K = ceil(T/32) of them a sequence ----

inline constexpr int64_t kHybridChunk = 32;
inline constexpr int64_t kHybridMaxStates = 256;  // n: a chunk's states must fit in shared memory
inline int64_t hybrid_mixer_chunks(int64_t T) { return (T + kHybridChunk - 1) / kHybridChunk; }

// X B^T (and dY C) may be summed over several parts of the channels side by side: with few chunks they alone would not
// occupy a GPU. The number depends on the sizes only, so that results do not depend on the GPU.
inline int64_t hybrid_mixer_splits(int64_t chunks, int64_t d) {
  constexpr int64_t kBlocks = 128;     // enough blocks for most GPUs
  constexpr int64_t kNarrowest = 128;  // channels: one pass of a block
  return std::clamp(kBlocks / chunks, int64_t{1}, (d + kNarrowest - 1) / kNarrowest);
}
// Partial sums over the chunks for the gradients of parameters; also a function of the sizes.
inline int64_t hybrid_mixer_slices(int64_t chunks) { return chunks < 64 ? chunks : 64; }

struct HybridMixerWork {   // all f32
  TensorView products;     // [splits,B,T,n]: X B^T or dY C; with one split it may be s (or g) itself
  TensorView h_chunks;     // [B,K,d]: forward: h before each chunk, kept for the backward pass; there: read
  TensorView q_chunks;     // [B,K,d]: backward: q of the step after each chunk
  TensorView s_chunks;     // [B,K,n]: s before each chunk; backward: g of the step after it
  TensorView powers;       // [3,n,n]: A^T (backward: A), its 32nd power, scratch
  TensorView sums;         // [slices,2n+2,d]: backward: dB, dC^T, dw_mix and dD of each slice of chunks
  TensorView matrix_sums;  // [slices,n,n]: backward: dA of each slice
};

void hybrid_mixer_forward_cuda(const HybridMixerInputs& in, const HybridMixerOutputs& out, const HybridMixerWork& work);
void hybrid_mixer_backward_cuda(const HybridMixerInputs& in, const HybridMixerGradients& grads,
                                const HybridMixerWork& work);

}  // namespace vigor
