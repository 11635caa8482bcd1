#pragma once
// What the CUDA kernels of the hybrid mixer share. Time is cut into chunks of 32 steps, so that the resets of a chunk
// are the bits of one word, and both recurrences run over all chunks at once:
//
//   1. each chunk alone, from a state of zero          -> what the chunk adds to the state behind it
//   2. carries   state behind = (w^32 or A^32) state before + what the chunk adds, from chunk to chunk
//   3. each chunk again, from the state before it      -> every step
//
// Powers end at the 32nd, so they overflow only where a state could grow by 38 decimal digits within one chunk, and a
// state of exactly zero is never multiplied by one. They are plain products, so w = 0 and w < 0 are fine.
//
// The backward recurrences are the forward ones against time, with A in place of A^T; kReverse tells them apart.
#include "kernels/hybrid_mixer/hybrid_mixer_kernels.h"
#include "kernels/sequence_cuda.cuh"

namespace vigor::hybrid {

inline constexpr int kChunk = static_cast<int>(kHybridChunk);
static_assert(kChunk == kWarpSize, "the resets of a chunk are one vote of a warp");
inline constexpr int kSquarings = 5;         // to the power of 32
inline constexpr int kChannelThreads = 128;  // blocks of the kernels whose threads own channels
inline constexpr int kLoadGroup = 8;         // steps whose loads are in flight together
inline constexpr int kStateSlice = 32;       // states that such a thread holds in registers at once

struct Time : DeviceSequences {
  explicit Time(const HybridMixerInputs& in) : DeviceSequences(in.x, in.lengths, in.resets) {}
  __host__ __device__ int64_t chunks_each() const { return (steps + kChunk - 1) / kChunk; }
  __host__ __device__ int64_t chunks() const { return batch * chunks_each(); }
};

struct Chunk {
  int64_t sequence;
  int64_t row;      // of its first step in [B*T,..]
  int rows;         // steps in memory: 32, fewer at the end of T
  int steps;        // real ones; the rest is padding
  uint32_t resets;  // bit i: step i starts from zeros
  bool ends;        // the last real step of its sequence is here
};

// Chunk k of a sequence. Called by whole warps, with the same arguments in all lanes.
__device__ inline Chunk chunk_of(const Time& time, int64_t sequence, int64_t k) {
  const int64_t start = k * kChunk;
  const int64_t length = time.length(sequence), left = length - start;
  Chunk chunk;
  chunk.sequence = sequence;
  chunk.row = sequence * time.steps + start;
  chunk.rows = static_cast<int>(time.steps - start < kChunk ? time.steps - start : kChunk);
  chunk.steps = static_cast<int>(left < 0 ? 0 : left < kChunk ? left : kChunk);
  chunk.ends = left > 0 && left <= kChunk;
  chunk.resets = 0;
  if (time.resets != nullptr) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    chunk.resets = __ballot_sync(kFullWarp, lane < chunk.steps && time.resets[chunk.row + lane] != 0);
  }
  return chunk;
}
__device__ inline Chunk chunk_at(const Time& time, int64_t index) {  // of all chunks of all sequences
  return chunk_of(time, index / time.chunks_each(), index % time.chunks_each());
}

// Scans go through the 32 rows of a chunk in order: row r is step r, or step 31 - r against time.
template <bool kReverse>
__device__ int step_of_row(int row) {
  return kReverse ? kChunk - 1 - row : row;
}
// Bit r: nothing flows from row r - 1 to row r (for row 0: from the chunk before). Against time the flow from step t+1
// to t is cut by a reset at t+1; a reset at step 0 cuts what leaves the chunk instead, see leaves_nothing().
template <bool kReverse>
__device__ uint32_t broken_links(uint32_t resets) {
  return kReverse ? __brev(resets) << 1 : resets;
}
template <bool kReverse>
__device__ bool leaves_nothing(uint32_t resets) {
  return kReverse && (resets & 1u) != 0;
}
__device__ inline bool bit(uint32_t word, int i) { return (word >> i & 1u) != 0; }

// tile [32, kStateSlice] = states state0.. of the chunk's real steps, from [B*T,n]; zeros beyond. All 128 threads.
__device__ inline void load_states(const float* states, const Chunk& chunk, int n, int state0, float* tile) {
  static_assert(kStateSlice == kWarpSize, "a warp reads a step");
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const float* from = states + chunk.row * n + state0 + lane;
#pragma unroll
  for (int t0 = 0; t0 < kChunk; t0 += kChannelThreads / kWarpSize) {
    const int t = t0 + static_cast<int>(threadIdx.x) / kWarpSize;
    tile[t * kStateSlice + lane] = t < chunk.steps && state0 + lane < n ? from[t * n] : 0.0f;
  }
}

// A power may be infinite where the state never left zero.
__device__ inline float times_state(float power, float state) { return state == 0 ? 0.0f : power * state; }

// Element i of (row vector) times (matrix [n,n]).
__device__ inline float row_times_column(const float* row, const float* matrix, int n, int i) {
  float sum = 0;
#pragma unroll 8
  for (int j = 0; j < n; ++j) sum += times_state(matrix[int64_t{j} * n + i], row[j]);
  return sum;
}

// ---- launchers, all on cuda_stream() ----

// powers [3,n,n]: M = A^T (transposed) or A, M^32, and scratch.
void launch_powers(const float* a, bool transposed, int n, float* powers);

// The recurrence r_t = r_{t-1} M + e_t over n states, against time in the backward pass.
struct StateScan {
  Time time;
  int n, splits;
  const float* products;  // [splits,B,T,n]: e_t is the sum over splits
  const float* powers;    // [3,n,n]: M, M^32
  float* chunks;          // [B,K,n]
  float* states;          // [B,T,n]: r_t, zeros in padding
  const float* first;     // s0 or ds_last [B,n], or null
  float* last;            // s_last or ds0 [B,n]; ds0 may be null
};
void launch_state_scan(const StateScan& scan, bool reverse);

// The carries of h or q, in place: chunks [B,K,d], what each chunk adds -> the state before it. first and last as
// above: forward h0 (h_last comes from the last step), backward dh_last and dh0.
void launch_channel_carries(const Time& time, int64_t d, const float* w, float* chunks, const float* first, float* last,
                            bool reverse);

// to (+)= the sum over slices of partial[slice * stride + i], i < rows * columns; stored transposed if asked for.
void launch_slice_sum(const float* partial, int64_t slices, int64_t stride, int64_t rows, int64_t columns,
                      bool transposed, const GradientView& to);

// partial [slices,n,n] = sums of g_t^T s_{t-1} over the chunks of each slice.
void launch_matrix_gradient(const Time& time, int n, int64_t slices, const float* g, const float* s, const float* s0,
                            float* partial);

// Version 1, and what version 2 keeps of it.
void forward_v1(const HybridMixerInputs& in, const HybridMixerOutputs& out, const HybridMixerWork& work);
void backward_v1(const HybridMixerInputs& in, const HybridMixerGradients& grads, const HybridMixerWork& work);
void product_x_bt(const HybridMixerInputs& in, const TensorView& u);                                     // U = X B^T
void product_s_ct(const HybridMixerInputs& in, const HybridMixerOutputs& out);                           // Y += S C^T
void product_dy_c(const HybridMixerInputs& in, const HybridMixerGradients& grads, const TensorView& e);  // E = dY C
void products_of_g(const HybridMixerInputs& in, const HybridMixerGradients& grads);  // dX += G B, dB, dC

// T = 1: one launch for everything.
void forward_step(const HybridMixerInputs& in, const HybridMixerOutputs& out, const HybridMixerWork& work);

}  // namespace vigor::hybrid
