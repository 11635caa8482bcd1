// The parts of the chunked scans that do not touch activations: powers of A, the scan over states, and carries.
#include "kernels/hybrid_mixer/hybrid_mixer_cuda.cuh"

namespace vigor::hybrid {
namespace {

constexpr int kPowerThreads = 1024;
constexpr int kStateThreads = 256;
constexpr int kCarryGroup = 8;  // chunks whose loads are in flight together

// One block: five squarings, each thread a few elements. 20 n^2 bytes written, n^3 multiplications each.
__global__ __launch_bounds__(kPowerThreads) void powers_kernel(const float* a, bool transposed, int n, float* powers) {
  const int elements = n * n;
  for (int e = static_cast<int>(threadIdx.x); e < elements; e += kPowerThreads)
    powers[e] = transposed ? a[e % n * n + e / n] : a[e];
  for (int level = 1; level < kPowers; ++level) {
    __syncthreads();
    const float* from = powers + int64_t{level - 1} * elements;
    float* to = powers + int64_t{level} * elements;
    for (int e = static_cast<int>(threadIdx.x); e < elements; e += kPowerThreads) {
      const int i = e / n, j = e % n;
      float sum = 0;
#pragma unroll 8
      for (int k = 0; k < n; ++k) {
        const float left = from[i * n + k], right = from[k * n + j];
        // A nilpotent A has exact zeros that must win over an infinite power.
        sum += left == 0 || right == 0 ? 0.0f : left * right;
      }
      to[e] = sum;
    }
  }
}

// ---- the scan over the rows of one chunk, in shared memory [32,n] ----
//
// A tree (Brent and Kung 1982): going up, row r = 2m-1, 4m-1, ... takes in the m rows before it, for m = 1, 2, 4, 8,
// 16; then the last row has the whole chunk. Going down, rows 3m-1, 5m-1, ... do so for m = 8, 4, 2, 1, and every row
// is complete. 57 products of a row with a power instead of 31, in 9 steps instead of 31.

__device__ void add_earlier_rows(float* tile, const float* power, int n, int m, int first_row, uint32_t broken) {
  const int count = (kChunk - 1 - first_row) / (2 * m) + 1;
  for (int e = static_cast<int>(threadIdx.x); e < count * n; e += kStateThreads) {
    const int row = first_row + e / n * (2 * m), i = e % n;
    if ((broken >> (row - m + 1) & ((1u << m) - 1)) != 0) continue;  // a link between row - m and row is cut
    tile[row * n + i] += row_times_column(tile + (row - m) * n, power, n, i);
  }
  __syncthreads();
}

__device__ void scan_up(float* tile, const float* powers, int n, uint32_t broken) {
  for (int level = 0; level < kPowers - 1; ++level)
    add_earlier_rows(tile, powers + int64_t{level} * n * n, n, 1 << level, (2 << level) - 1, broken);
}
__device__ void scan_down(float* tile, const float* powers, int n, uint32_t broken) {
  for (int level = kPowers - 3; level >= 0; --level)
    add_earlier_rows(tile, powers + int64_t{level} * n * n, n, 1 << level, (3 << level) - 1, broken);
}

// tile = e_t of the chunk's rows, zeros in padding; the gradient of the final state joins at the last real step.
template <bool kReverse>
__device__ void load_chunk(const StateScan& p, const Chunk& chunk, float* tile) {
  const int64_t split_stride = p.time.sequences * p.time.steps * p.n;
  for (int e = static_cast<int>(threadIdx.x); e < kChunk * p.n; e += kStateThreads) {
    const int t = step_of_row<kReverse>(e / p.n), i = e % p.n;
    float sum = 0;
    if (t < chunk.steps) {
      const float* from = p.products + (chunk.row + t) * p.n + i;
      for (int split = 0; split < p.splits; ++split) sum += from[split * split_stride];
      if (kReverse && p.first != nullptr && chunk.ends && t == chunk.steps - 1)
        sum += p.first[chunk.sequence * p.n + i];
    }
    tile[e] = sum;
  }
  __syncthreads();
}

// 1. What each chunk adds: one block a chunk. Reads e once (4 n bytes a step and split).
template <bool kReverse>
__global__ __launch_bounds__(kStateThreads) void state_ends_kernel(StateScan p) {
  extern __shared__ float tile[];  // [32,n]
  const Chunk chunk = chunk_at(p.time, blockIdx.x);
  load_chunk<kReverse>(p, chunk, tile);
  scan_up(tile, p.powers, p.n, broken_links<kReverse>(chunk.resets));
  for (int i = static_cast<int>(threadIdx.x); i < p.n; i += kStateThreads)
    p.chunks[int64_t{blockIdx.x} * p.n + i] =
        leaves_nothing<kReverse>(chunk.resets) ? 0.0f : tile[(kChunk - 1) * p.n + i];
}

// 2. The carries: one block a sequence, one thread a state; T/32 steps one after another.
template <bool kReverse>
__global__ void state_carries_kernel(StateScan p) {
  __shared__ float carried[kHybridMaxStates];
  const int64_t sequence = blockIdx.x, chunks = p.time.chunks_each();
  const int i = static_cast<int>(threadIdx.x);
  const float* whole_chunk = p.powers + int64_t{kPowers - 1} * p.n * p.n;
  const bool active = i < p.n;
  const int64_t at = sequence * p.n + i;  // in [B,n]
  if (active) carried[i] = !kReverse && p.first != nullptr ? p.first[at] : 0.0f;
  const auto element = [&](int64_t k) {
    return p.chunks + (sequence * chunks + (kReverse ? chunks - 1 - k : k)) * p.n + i;
  };
  float added = active ? *element(0) : 0;
  for (int64_t k = 0; k < chunks; ++k) {
    const float next_added = active && k + 1 < chunks ? *element(k + 1) : 0;  // on its way during this step
    const uint32_t resets = chunk_of(p.time, sequence, kReverse ? chunks - 1 - k : k).resets;
    __syncthreads();
    if (active) *element(k) = carried[i];
    if (active && resets == 0) added += row_times_column(carried, whole_chunk, p.n, i);
    __syncthreads();
    if (active) carried[i] = added;
    added = next_added;
  }
  __syncthreads();
  if (!kReverse || !active || p.last == nullptr) return;
  if (p.time.length(sequence) > 0) p.last[at] = row_times_column(carried, p.powers, p.n, i);  // ds0 = A^T g_0
  else p.last[at] = p.first != nullptr ? p.first[at] : 0.0f;
}

// 3. Every step, from the state before the chunk: reads e again and writes the states.
template <bool kReverse>
__global__ __launch_bounds__(kStateThreads) void state_scan_kernel(StateScan p) {
  extern __shared__ float tile[];  // [32,n]
  const Chunk chunk = chunk_at(p.time, blockIdx.x);
  const uint32_t broken = broken_links<kReverse>(chunk.resets);
  load_chunk<kReverse>(p, chunk, tile);
  if (!bit(broken, 0)) {
    for (int i = static_cast<int>(threadIdx.x); i < p.n; i += kStateThreads)
      tile[i] += row_times_column(p.chunks + int64_t{blockIdx.x} * p.n, p.powers, p.n, i);
    __syncthreads();
  }
  scan_up(tile, p.powers, p.n, broken);
  scan_down(tile, p.powers, p.n, broken);
  for (int e = static_cast<int>(threadIdx.x); e < kChunk * p.n; e += kStateThreads) {
    const int t = step_of_row<kReverse>(e / p.n);
    if (t < chunk.rows) p.states[(chunk.row + t) * p.n + e % p.n] = t < chunk.steps ? tile[e] : 0.0f;
  }
  const bool empty = p.time.length(chunk.sequence) == 0 && blockIdx.x % p.time.chunks_each() == 0;
  if (!kReverse && (chunk.ends || empty)) {
    for (int i = static_cast<int>(threadIdx.x); i < p.n; i += kStateThreads) {
      const int64_t at = chunk.sequence * p.n + i;
      if (!empty) p.last[at] = tile[(chunk.steps - 1) * p.n + i];
      else p.last[at] = p.first != nullptr ? p.first[at] : 0.0f;
    }
  }
}

template <bool kReverse>
void state_scan(const StateScan& p) {
  const auto chunks = static_cast<unsigned>(p.time.chunks());
  const size_t shared = sizeof(float) * static_cast<size_t>(kChunk * p.n);
  const auto threads = static_cast<unsigned>(ceil_div(p.n, kWarpSize) * kWarpSize);
  state_ends_kernel<kReverse><<<chunks, kStateThreads, shared, cuda_stream()>>>(p);
  state_carries_kernel<kReverse><<<static_cast<unsigned>(p.time.sequences), threads, 0, cuda_stream()>>>(p);
  state_scan_kernel<kReverse><<<chunks, kStateThreads, shared, cuda_stream()>>>(p);
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer state scan");
}

// One thread a channel of a sequence: reads and writes 4 bytes a chunk.
template <bool kReverse>
__global__ __launch_bounds__(kChannelThreads) void channel_carries_kernel(Time time, int64_t d, const float* w,
                                                                          float* chunks, const float* first,
                                                                          float* last) {
  const int64_t sequence = blockIdx.x, c = int64_t{blockIdx.y} * kChannelThreads + threadIdx.x;
  const int64_t count = time.chunks_each();
  const bool active = c < d;
  float whole_chunk = active ? w[c] : 0.0f;  // w^32
  for (int squaring = 1; squaring < kPowers; ++squaring) whole_chunk *= whole_chunk;
  const int64_t at = sequence * d + c;  // in [B,d]
  const float outside = active && first != nullptr ? first[at] : 0.0f;
  float carried = kReverse ? 0.0f : outside;
  const auto chunk_number = [&](int64_t k) { return kReverse ? count - 1 - k : k; };
  float* column = chunks + sequence * count * d + c;
  for (int64_t k0 = 0; k0 < count; k0 += kCarryGroup) {
    float added[kCarryGroup] = {};
#pragma unroll
    for (int k = 0; k < kCarryGroup; ++k)
      if (active && k0 + k < count) added[k] = column[chunk_number(k0 + k) * d];
#pragma unroll
    for (int k = 0; k < kCarryGroup; ++k) {
      if (k0 + k >= count) break;
      const uint32_t resets = time.resets != nullptr ? chunk_of(time, sequence, chunk_number(k0 + k)).resets : 0;
      if (active) column[chunk_number(k0 + k) * d] = carried;
      carried = added[k] + (resets != 0 ? 0.0f : times_state(whole_chunk, carried));
    }
  }
  if (!kReverse || !active || last == nullptr) return;
  last[at] = time.length(sequence) > 0 ? w[c] * carried : outside;  // dh0
}

// One thread an element: reads every slice once, in order.
__global__ void slice_sum_kernel(const float* partial, int64_t slices, int64_t stride, int64_t rows, int64_t columns,
                                 bool transposed, bool accumulate, float* to) {
  for (int64_t e = global_thread(); e < rows * columns; e += global_threads()) {
    float sum = 0;
#pragma unroll 8
    for (int64_t slice = 0; slice < slices; ++slice) sum += partial[slice * stride + e];
    float& target = to[transposed ? e % columns * rows + e / columns : e];
    target = accumulate ? target + sum : sum;
  }
}

// One thread an element (i,j) of dA and a slice of chunks; neighbours read neighbours of s and the same g.
__global__ void matrix_gradient_kernel(Time time, int n, const float* g, const float* s, const float* s0,
                                       float* partial) {
  const int e = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  const int i = e / n, j = e % n;
  const bool active = e < n * n;
  float sum = 0;
  for (int64_t index = blockIdx.x; index < time.chunks(); index += gridDim.x) {
    const Chunk chunk = chunk_at(time, index);
    if (!active) continue;
    const bool begins = index % time.chunks_each() == 0;
#pragma unroll 4
    for (int t = 0; t < chunk.steps; ++t) {
      if (bit(chunk.resets, t)) continue;
      const int64_t row = chunk.row + t;
      const float previous = t > 0 || !begins ? s[(row - 1) * n + j] : s0 != nullptr ? s0[chunk.sequence * n + j] : 0;
      sum += g[row * n + i] * previous;
    }
  }
  if (active) partial[int64_t{blockIdx.x} * n * n + e] = sum;
}

}  // namespace

void launch_powers(const float* a, bool transposed, int n, float* powers) {
  powers_kernel<<<1, kPowerThreads, 0, cuda_stream()>>>(a, transposed, n, powers);
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer powers");
}

void launch_state_scan(const StateScan& scan, bool reverse) {
  if (reverse) state_scan<true>(scan);
  else state_scan<false>(scan);
}

void launch_channel_carries(const Time& time, int64_t d, const float* w, float* chunks, const float* first, float* last,
                            bool reverse) {
  const dim3 grid(static_cast<unsigned>(time.sequences), static_cast<unsigned>(ceil_div(d, kChannelThreads)));
  if (reverse)
    channel_carries_kernel<true><<<grid, kChannelThreads, 0, cuda_stream()>>>(time, d, w, chunks, first, last);
  else channel_carries_kernel<false><<<grid, kChannelThreads, 0, cuda_stream()>>>(time, d, w, chunks, first, last);
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer channel carries");
}

void launch_slice_sum(const float* partial, int64_t slices, int64_t stride, int64_t rows, int64_t columns,
                      bool transposed, const GradientView& to) {
  if (!to.defined()) return;
  constexpr int kThreads = 128;
  slice_sum_kernel<<<grid_size(rows * columns, kThreads), kThreads, 0, cuda_stream()>>>(
      partial, slices, stride, rows, columns, transposed, to.accumulate, to.view.as<float>());
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer slice sum");
}

void launch_matrix_gradient(const Time& time, int n, int64_t slices, const float* g, const float* s, const float* s0,
                            float* partial) {
  constexpr int kThreads = 256;
  const dim3 grid(static_cast<unsigned>(slices), static_cast<unsigned>(ceil_div(int64_t{n} * n, kThreads)));
  matrix_gradient_kernel<<<grid, kThreads, 0, cuda_stream()>>>(time, n, g, s, s0, partial);
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer matrix gradient");
}

}  // namespace vigor::hybrid
