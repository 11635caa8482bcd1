// The parts of the chunked scans that do not touch activations: powers of A, the scan over states, and carries.
#include "kernels/hybrid_mixer/hybrid_mixer_cuda.cuh"

namespace vigor::hybrid {
namespace {

constexpr int kPowerThreads = 256;
constexpr int kGradientThreads = 256;
constexpr int kCarryGroup = 8;  // chunks whose loads are in flight together

// Four rows of the square of a matrix [n,n], in one column. Exact zeros win over infinite elements where there are any
// (kGuarded): the 32nd power of a nilpotent A is zero.
template <bool kGuarded>
__device__ void square_rows(const float* from, int n, int first_row, int column, float (&sum)[4]) {
  const float* row[4];
  for (int r = 0; r < 4; ++r) row[r] = from + min(first_row + r, n - 1) * n;
  const float* right = from + column;
#pragma unroll 4
  for (int k = 0; k < n; ++k, right += n)
    for (int r = 0; r < 4; ++r) {
      const float left = row[r][k];
      if (!kGuarded || (left != 0 && *right != 0)) sum[r] += left * *right;
    }
}

// One block, because it starts with one small matrix: five squarings of M; a thread sums 4 x 1 elements. powers[1] and
// powers[2] take turns, and M^32 ends in [1].
__global__ __launch_bounds__(kPowerThreads) void powers_kernel(const float* a, bool transposed, int n, float* powers) {
  const int elements = n * n, thread = static_cast<int>(threadIdx.x);
  for (int e = thread; e < elements; e += kPowerThreads) powers[e] = transposed ? a[e % n * n + e / n] : a[e];
  bool finite = false;  // of this thread's elements; the first squaring is guarded in any case
  const float* from = powers;
  for (int squaring = 0; squaring < kSquarings; ++squaring) {
    const bool all_finite = __syncthreads_and(finite);
    float* to = powers + (squaring % 2 == 0 ? 1 : 2) * elements;
    finite = true;
    for (int e = thread; e < (n + 3) / 4 * n; e += kPowerThreads) {
      const int first_row = e / n * 4, column = e % n;
      float sum[4] = {};
      if (all_finite) square_rows<false>(from, n, first_row, column, sum);
      else square_rows<true>(from, n, first_row, column, sum);
      for (int r = 0; r < 4 && first_row + r < n; ++r) {
        to[(first_row + r) * n + column] = sum[r];
        finite = finite && isfinite(sum[r]);
      }
    }
    from = to;
  }
}

// Sum over j of row[j] M[j,i] for the thread of state i: the first 32 rows of M are in its registers, others come from
// memory. Four sums, because one alone would wait for the latency of every multiply-add.
__device__ float row_times_matrix(const float* row, const float (&column)[kStateSlice], const float* matrix, int n,
                                  int i) {
  float sum[4] = {};
#pragma unroll
  for (int j = 0; j < kStateSlice; j += 4) {
    const Pack<float, 4> r = load_pack<4>(row + j);
    for (int k = 0; k < 4; ++k) sum[k] += column[j + k] * r.value[k];
  }
  if (i < n)
    for (int j = kStateSlice; j < n; ++j) sum[0] += matrix[j * n + i] * row[j];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// One chunk, one thread a state, 32 dependent steps: 1. from zeros, to learn what the chunk adds (kFinal false), and
// 3. from the state before the chunk, for every step. A block is one warp for n <= 32. Each pass reads e once, 4 n
// bytes a step and split; the last writes the states. Two copies of the state take turns, for one barrier a step.
template <bool kReverse, bool kFinal>
__global__ __launch_bounds__(kHybridMaxStates, 1) void state_chunk_kernel(StateScan p) {
  __shared__ float4 storage[2][kHybridMaxStates / 4];
  const int n = p.n, i = static_cast<int>(threadIdx.x);
  const bool active = i < n;
  const Chunk chunk = chunk_at(p.time, blockIdx.x);
  const uint32_t broken = broken_links<kReverse>(chunk.resets);
  const int64_t split_stride = p.time.batch * p.time.steps * n, state = chunk.sequence * n + i;  // [B,n]
  float column[kStateSlice];
#pragma unroll
  for (int j = 0; j < kStateSlice; ++j) column[j] = active && j < n ? p.powers[j * n + i] : 0.0f;
  float r = kFinal && active ? p.chunks[int64_t{blockIdx.x} * n + i] : 0.0f;
  for (float4* copy : storage) reinterpret_cast<float*>(copy)[i] = r;
  __syncthreads();
  for (int row0 = 0; row0 < kChunk; row0 += kLoadGroup) {
    float e[kLoadGroup];
#pragma unroll
    for (int k = 0; k < kLoadGroup; ++k) {
      const int t = step_of_row<kReverse>(row0 + k);
      e[k] = 0;
      if (!active || t >= chunk.steps) continue;
      const float* from = p.products + (chunk.row + t) * n + i;
      for (int split = 0; split < p.splits; ++split) e[k] += from[split * split_stride];
    }
#pragma unroll
    for (int k = 0; k < kLoadGroup; ++k) {
      const int row = row0 + k, t = step_of_row<kReverse>(row);
      if (t >= chunk.steps) continue;  // against time the padding comes first, and its state is zero
      r = e[k];
      if (!bit(broken, row))
        r += row_times_matrix(reinterpret_cast<const float*>(storage[k % 2]), column, p.powers, n, i);
      if (kReverse && active && p.first != nullptr && chunk.ends && t == chunk.steps - 1) r += p.first[state];
      reinterpret_cast<float*>(storage[(k + 1) % 2])[i] = r;
      if (kFinal && active) p.states[(chunk.row + t) * n + i] = r;
      __syncthreads();
    }
  }
  if (!active) return;
  if constexpr (!kFinal) {
    p.chunks[int64_t{blockIdx.x} * n + i] = leaves_nothing<kReverse>(chunk.resets) ? 0.0f : r;
  } else {
    for (int t = chunk.steps; t < chunk.rows; ++t) p.states[(chunk.row + t) * n + i] = 0;
    const bool empty = p.time.length(chunk.sequence) == 0 && blockIdx.x % p.time.chunks_each() == 0;
    if (!kReverse && empty) r = p.first != nullptr ? p.first[state] : 0.0f;
    if (!kReverse && (chunk.ends || empty)) p.last[state] = r;
  }
}

// 2. The carries: one block a sequence, one thread a state; T/32 steps one after another.
template <bool kReverse>
__global__ void state_carries_kernel(StateScan p) {
  __shared__ float carried[kHybridMaxStates];
  const int64_t sequence = blockIdx.x, chunks = p.time.chunks_each();
  const int i = static_cast<int>(threadIdx.x);
  const float* whole_chunk = p.powers + int64_t{p.n} * p.n;  // M^32
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

template <bool kReverse>
void state_scan(const StateScan& p) {
  const auto chunks = static_cast<unsigned>(p.time.chunks()), sequences = static_cast<unsigned>(p.time.batch);
  const auto threads = static_cast<unsigned>(ceil_div(p.n, kWarpSize) * kWarpSize);
  state_chunk_kernel<kReverse, false><<<chunks, threads, 0, cuda_stream()>>>(p);
  state_carries_kernel<kReverse><<<sequences, threads, 0, cuda_stream()>>>(p);
  state_chunk_kernel<kReverse, true><<<chunks, threads, 0, cuda_stream()>>>(p);
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
  for (int squaring = 0; squaring < kSquarings; ++squaring) whole_chunk *= whole_chunk;
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

// A thread sums four elements (i,j), (i+1,j), .. of dA over a slice of chunks; neighbours read neighbours of s and the
// same g.
__global__ __launch_bounds__(kGradientThreads) void matrix_gradient_kernel(Time time, int n, const float* g,
                                                                           const float* s, const float* s0,
                                                                           float* partial) {
  const int e = static_cast<int>(blockIdx.y * kGradientThreads + threadIdx.x);
  const int i = e / n * 4, j = e % n;
  const bool active = i < n;
  int row[4];
  for (int r = 0; r < 4; ++r) row[r] = min(i + r, n - 1);
  float sum[4] = {};
  for (int64_t index = blockIdx.x; index < time.chunks(); index += gridDim.x) {
    const Chunk chunk = chunk_at(time, index);
    if (!active || chunk.steps == 0) continue;
    const float* g_step = g + chunk.row * n;
    const float* s_step = s + (chunk.row - 1) * n + j;  // of the step before
    const bool begins = index % time.chunks_each() == 0;
    float before = !begins ? *s_step : s0 != nullptr ? s0[chunk.sequence * n + j] : 0.0f;
#pragma unroll 4
    for (int t = 0; t < chunk.steps; ++t) {
      if (bit(chunk.resets, t)) before = 0;
      for (int r = 0; r < 4; ++r) sum[r] += g_step[row[r]] * before;
      g_step += n;
      s_step += n;
      before = *s_step;
    }
  }
  for (int r = 0; active && r < 4 && i + r < n; ++r) partial[(int64_t{blockIdx.x} * n + i + r) * n + j] = sum[r];
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
  const dim3 grid(static_cast<unsigned>(time.batch), static_cast<unsigned>(ceil_div(d, kChannelThreads)));
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
  const int64_t threads = ceil_div(n, 4) * n;
  const dim3 grid(static_cast<unsigned>(slices), static_cast<unsigned>(ceil_div(threads, kGradientThreads)));
  matrix_gradient_kernel<<<grid, kGradientThreads, 0, cuda_stream()>>>(time, n, g, s, s0, partial);
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer matrix gradient");
}

}  // namespace vigor::hybrid
