#pragma once
// The chunked scan of some heads of one group in one sequence, one task of a thread; and the step of a decode call.
// X is the type of activations. Chunks, states and sums are f32, with rows padded by zeros to whole vectors.
#include "kernels/sequence_steps.h"
#include "tensor/simd.h"

namespace vigor {

inline constexpr int64_t kMamba2Chunk = 64;  // Q
inline constexpr int64_t kMamba2Pad = 16;    // sizes are rounded up to it: whole vectors of every instruction set
[[gnu::always_inline]] constexpr int64_t mamba2_padded(int64_t n) {
  return (n + kMamba2Pad - 1) / kMamba2Pad * kMamba2Pad;
}

// The row of step t and head h starts at data + t * step + h * head.
template <class T>
struct Mamba2Rows {
  T* data;
  int64_t step, head;
};

// What both directions read. Heads are counted from the first one of the task.
template <class X>
struct Mamba2Task {
  SequenceSteps time;
  int64_t heads, P, N;
  Mamba2Rows<const X> x, dt;              // a row of dt is one number
  Mamba2Rows<const X> ssm_b, ssm_c;       // of the group
  const float *a_log, *skip_d, *dt_bias;  // [heads]
  float dt_min, dt_max;
  const float* state;  // [heads,P,N] or null
  // S before each chunk, transposed and padded, [heads,N',P'] at chunk_states + chunk * chunk_stride. Forward writes
  // them (null: not wanted), backward reads them. Where S is zeros, in chunk 0 without `state`, they are not touched.
  float* chunk_states;
  int64_t chunk_stride;
  float* scratch;
};

template <class X>
struct Mamba2Forward {
  Mamba2Task<X> task;
  Mamba2Rows<X> y;
  float* last_state;  // [heads,P,N]
};
constexpr int64_t mamba2_forward_scratch(int64_t heads, int64_t P, int64_t N) {
  const int64_t p = mamba2_padded(P), n = mamba2_padded(N), Q = kMamba2Chunk;
  return heads * (n + Q) * p + Q * (3 * n + 2 * Q + 12 + kMamba2Pad);
}

template <class X>
struct Mamba2Backward {
  Mamba2Task<X> task;
  Mamba2Rows<const X> dy;
  const float* dlast_state;            // [heads,P,N] or null
  Mamba2Rows<X> dx, ddt;               // written
  Mamba2Rows<float> db, dc;            // written: the sums over the heads of the task
  float* dstate;                       // [heads,P,N] or null
  float *da_log, *dskip_d, *ddt_bias;  // [heads]: written
};
constexpr int64_t mamba2_backward_scratch(int64_t heads, int64_t P, int64_t N) {
  const int64_t p = mamba2_padded(P), n = mamba2_padded(N), Q = kMamba2Chunk;
  return heads * (n + 2 * Q) * p + Q * (5 * n + 2 * p + 4 * Q + 16 + 4 * kMamba2Pad) + kMamba2Pad;
}

// clang-format off
VIGOR_PER_ISA(
    void mamba2_forward(const Mamba2Forward<float>& p);
    void mamba2_forward(const Mamba2Forward<bf16>& p);
    void mamba2_backward(const Mamba2Backward<float>& p);
    void mamba2_backward(const Mamba2Backward<bf16>& p);
    void mamba2_step(const Mamba2Forward<float>& p);  // T = 1: reads the state once and writes it once
    void mamba2_step(const Mamba2Forward<bf16>& p);)
// clang-format on

}  // namespace vigor
