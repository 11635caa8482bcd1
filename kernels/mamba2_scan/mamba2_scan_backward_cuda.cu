#include "kernels/block_sums_cuda.cuh"
#include "kernels/elementwise/elementwise_rows.cuh"
#include "kernels/mamba2_scan/mamba2_scan_cuda.cuh"

namespace vigor {
namespace mamba2 {
namespace {

// What the kernels of the backward pass leave for each other. In the letters of the card: z_j is g_j B_j, and A_ij the
// part of the loss' derivative by M_ij M_ij itself; the rows and columns of A go from the state before the chunk (-1)
// to the state behind it (Q).
struct BackwardWork {
  float* gradients;      // [B,K,H,P,N]: of the state behind each chunk
  float* pairs;          // [B,K,H,Q,Q]: M_ij dt'_j dy_i . x_j
  float* group_pairs;    // [B,K,G,Q,Q]: their sums over the heads of a group
  float *from, *to, *z;  // [B,K,H,Q]: A_{i,-1}, A_{Q,j} and x_j . z_j
  float* across;         // [B,K,H]: A_{Q,-1}
  float* partial;        // [B K,3,H]: da_log, dD and ddt_bias of each chunk
};

// Four numbers of a thread's columns in row `row` of x or dy, zeros outside.
template <class T>
__device__ void load_own(float (&values)[4], const Rows<const T>& rows, const Chunk& chunk, int h, int row, int column,
                         int columns) {
  const T* from = rows.row(chunk.b, chunk.begin + row, h) + column;
#pragma unroll
  for (int j = 0; j < 4; ++j) values[j] = row < chunk.rows && column + j < columns ? to_float(from[j]) : 0;
}

// A block owns a head in a chunk: what reached its results from the state before it.
template <bool kTensorCores, class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    from_state_kernel(Problem<T> p, BackwardWork work, Rows<const T> dy, const float* states) {
  __shared__ Tiles tiles;
  __shared__ Scalars numbers;
  __shared__ float warps[kThreads / kWarpSize];
  const Chunk chunk(p);
  const int h = static_cast<int>(blockIdx.y), g = h / p.group, thread = static_cast<int>(threadIdx.x);
  const int64_t bkh = chunk.bk * p.H + h;
  if (chunk.rows == 0) return;
  numbers.load(p, chunk, h);
  const float *state = states + bkh * p.P * p.N, *gradient = work.gradients + bkh * p.P * p.N;
  float from[4] = {};
  for (int p0 = 0; p0 < p.P; p0 += kTile) {
    Sums sums;
    clear(sums);
    multiply_by_state<kTensorCores>(sums, tiles, p, chunk, p.c, g, state, p0,
                                    [&](int i) { return numbers.first[i] < 0; });
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float up[4];
      load_own(up, dy, chunk, h, tile_row() + i, p0 + tile_column(), p.P);
#pragma unroll
      for (int j = 0; j < 4; ++j) from[i] = fmaf(up[j], sums[i][j], from[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float sum = row_sum(from[i]);
    if (thread % 16 == 0) work.from[bkh * kQ + tile_row() + i] = numbers.from_start[tile_row() + i] * sum;
  }
  float across = 0;
  if (numbers.whole() > 0)
    for (int i = thread; i < p.P * p.N; i += kThreads) across = fmaf(state[i], gradient[i], across);
  across = block_sum(across, warps);
  if (thread == 0) work.across[bkh] = numbers.whole() * across;
}

// A block owns a head in a chunk: dx, dD, and what its inputs do to the state behind it.
template <bool kTensorCores, class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    inputs_kernel(Problem<T> p, BackwardWork work, Rows<const T> dy, T* dx) {
  __shared__ Tiles tiles;
  __shared__ Scalars numbers;
  __shared__ float warps[kThreads / kWarpSize];
  const Chunk chunk(p);
  const int h = static_cast<int>(blockIdx.y), g = h / p.group, thread = static_cast<int>(threadIdx.x);
  const int64_t bkh = chunk.bk * p.H + h;
  numbers.load(p, chunk, h);
  const float* gradient = work.gradients + bkh * p.P * p.N;
  const float* products = p.work.products + (chunk.bk * p.G + g) * kQ * kQ;
  const float skip_d = p.skip_d[h];
  float to[4] = {}, z[4] = {}, skip_sum = 0;
  for (int p0 = 0; p0 < p.P; p0 += kTile) {
    const int column = p0 + tile_column();
    Sums sums;
    clear(sums);
    if (chunk.rows > 0) {
      // z_j: first what comes from behind the chunk,
      multiply_by_state<kTensorCores>(sums, tiles, p, chunk, p.b, g, gradient, p0,
                                      [&](int j) { return numbers.to_end[j] > 0; });
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float x[4];
        load_own(x, p.x, chunk, h, tile_row() + i, column, p.P);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          sums[i][j] *= numbers.to_end[tile_row() + i];
          to[i] = fmaf(x[j], sums[i][j], to[i]);
        }
      }
      // then from the steps of the chunk.
      multiply<kTensorCores, Neighbours::along_tile, Neighbours::along_tile>(
          sums, tiles, chunk.rows, [&](int j, int i) { return numbers.left(i, j) * products[i * kQ + j]; },
          [&](int channel, int i) {
            return p0 + channel < p.P ? to_float(dy.row(chunk.b, chunk.begin + i, h)[p0 + channel]) : 0;
          });
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = tile_row() + i;
      float x[4], out[4];
      load_own(x, p.x, chunk, h, row, column, p.P);
      load_own(out, dy, chunk, h, row, column, p.P);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        z[i] = fmaf(x[j], sums[i][j], z[i]);
        skip_sum = fmaf(x[j], out[j], skip_sum);
        out[j] = row < chunk.rows ? fmaf(numbers.dt[row], sums[i][j], skip_d * out[j]) : 0;
      }
      if (row < chunk.all_rows)
        store_four(dx + ((chunk.b * p.time.steps + chunk.begin + row) * p.H + h) * p.P, column, p.P, out);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float row_to = row_sum(to[i]), row_z = row_sum(z[i]);
    if (thread % 16 != 0) continue;
    const int64_t at = bkh * kQ + tile_row() + i;
    work.to[at] = numbers.dt[tile_row() + i] * row_to;
    work.z[at] = row_z;
  }
  skip_sum = block_sum(skip_sum, warps);
  if (thread == 0) work.partial[(chunk.bk * 3 + 1) * p.H + h] = skip_sum;
}

// A block owns a head in a chunk: the pairs of its steps, and from them the gradient of dt.
template <bool kTensorCores, class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    pairs_kernel(Problem<T> p, BackwardWork work, Rows<const T> dy, T* ddt) {
  __shared__ Tiles tiles;
  __shared__ Scalars numbers;
  __shared__ float derivatives[kQ][kQ + 1], to[kQ], warps[kThreads / kWarpSize];
  const Chunk chunk(p);
  const int h = static_cast<int>(blockIdx.y), g = h / p.group, thread = static_cast<int>(threadIdx.x);
  const int64_t bkh = chunk.bk * p.H + h;
  numbers.load(p, chunk, h);
  Sums sums;
  clear(sums);
  multiply<kTensorCores, Neighbours::along_depth, Neighbours::along_depth>(
      sums, tiles, p.P,
      [&](int i, int c) { return i < chunk.rows ? to_float(dy.row(chunk.b, chunk.begin + i, h)[c]) : 0; },
      [&](int j, int c) { return j < chunk.rows ? to_float(p.x.row(chunk.b, chunk.begin + j, h)[c]) : 0; });
  const float* products = p.work.products + (chunk.bk * p.G + g) * kQ * kQ;
  if (thread < kQ) to[thread] = work.to[bkh * kQ + thread];
  for (int i = 0; i < 4; ++i) {
    const int row = tile_row() + i;
    for (int j = 0; j < 4; ++j) {
      const int column = tile_column() + j;
      const bool counts = row < chunk.rows && column <= row;
      sums[i][j] = counts ? sums[i][j] * numbers.left(row, column) * numbers.dt[column] : 0;
      derivatives[row][column] = counts ? sums[i][j] * products[row * kQ + column] : 0;
    }
    store_four(work.pairs + (bkh * kQ + row) * kQ, tile_column(), kQ, sums[i]);
  }
  __syncthreads();
  // r_t is the sum of A_ij over j < t <= i: first along each row, in place, then down the columns. Sums of the terms
  // themselves, never differences of sums, so r_t is as accurate where it is small.
  if (thread < chunk.rows) {
    float before = work.from[bkh * kQ + thread];
    for (int j = 0; j <= thread; ++j) {
      const float derivative = derivatives[thread][j];
      derivatives[thread][j] = before;
      before += derivative;
    }
  }
  __syncthreads();
  float da_log = 0, ddt_sum = 0;
  if (thread < chunk.rows) {
    float r = work.across[bkh];
    for (int j = 0; j < thread; ++j) r += to[j];
    for (int i = thread; i < chunk.rows; ++i) r += derivatives[i][thread];
    const float a = -expf(p.a_log[h]), raw = to_float(*p.dt.row(chunk.b, chunk.begin + thread, h)) + p.dt_bias[h];
    const float free = device::softplus(raw);
    const bool limited = free < p.dt_min || free > p.dt_max;
    da_log = a * numbers.dt[thread] * r;
    ddt_sum = limited ? 0 : fmaf(a, r, work.z[bkh * kQ + thread]) * device::sigmoid(raw);
  }
  if (thread < chunk.all_rows) ddt[(chunk.b * p.time.steps + chunk.begin + thread) * p.H + h] = from_float<T>(ddt_sum);
  da_log = block_sum(da_log, warps);
  ddt_sum = block_sum(ddt_sum, warps);
  if (thread > 0) return;
  work.partial[chunk.bk * 3 * p.H + h] = da_log;
  work.partial[(chunk.bk * 3 + 2) * p.H + h] = ddt_sum;
}

// A block owns a group in a chunk: the sum of its heads' pairs, in order.
template <class T>
__global__ void __launch_bounds__(kThreads) group_pairs_kernel(Problem<T> p, BackwardWork work) {
  constexpr int kSize = kQ * kQ;
  const int64_t bk = blockIdx.x;
  const int g = static_cast<int>(blockIdx.y);
  const float* heads = work.pairs + (bk * p.H + g * p.group) * kSize;
  for (int i = static_cast<int>(threadIdx.x); i < kSize; i += kThreads) {
    float total = 0;
#pragma unroll 4
    for (int h = 0; h < p.group; ++h) total += heads[h * kSize + i];
    work.group_pairs[(bk * p.G + g) * kSize + i] = total;
  }
}

// A block owns 64 columns of dB or dC of a group in a chunk. The products with the states of all heads are one product
// over heads and channels, so the sum over the heads costs nothing and has one order.
template <bool kTensorCores, bool kIsB, class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    groups_kernel(Problem<T> p, BackwardWork work, Rows<const T> heads, const float* states, T* out) {
  __shared__ Tiles tiles;
  const Chunk chunk(p);
  const int g = static_cast<int>(blockIdx.y), n0 = static_cast<int>(blockIdx.z) * kTile;
  Sums sums;
  clear(sums);
  if (chunk.rows > 0) {
    const int64_t first_head = chunk.bk * p.H + g * p.group;
    multiply<kTensorCores, Neighbours::along_depth, Neighbours::along_tile>(
        sums, tiles, p.group * p.P,
        [&](int i, int k) {
          const int head = static_cast<int>(static_cast<unsigned>(k) / static_cast<unsigned>(p.P));
          if (i >= chunk.rows) return 0.0f;
          const int64_t at = (first_head + head) * kQ + i;
          const float weight = kIsB ? p.work.to_end[at] * p.work.dt[at] : p.work.from_start[at];
          return weight * to_float(heads.row(chunk.b, chunk.begin + i, g * p.group + head)[k - head * p.P]);
        },
        [&](int n, int k) { return n0 + n < p.N ? states[(first_head * p.P + k) * p.N + n0 + n] : 0; });
    const float* pairs = work.group_pairs + (chunk.bk * p.G + g) * kQ * kQ;
    const auto row = [&](const Rows<const T>& other, int n, int j) {
      return n0 + n < p.N ? to_float(other.row(chunk.b, chunk.begin + j, g)[n0 + n]) : 0;
    };
    if constexpr (kIsB)
      multiply<kTensorCores, Neighbours::along_tile, Neighbours::along_tile>(
          sums, tiles, chunk.rows, [&](int j, int i) { return pairs[i * kQ + j]; },
          [&](int n, int i) { return row(p.c, n, i); });
    else
      multiply<kTensorCores, Neighbours::along_depth, Neighbours::along_tile>(
          sums, tiles, chunk.rows, [&](int i, int j) { return pairs[i * kQ + j]; },
          [&](int n, int j) { return row(p.b, n, j); });
  }
  for (int i = 0; i < 4; ++i) {
    const int t = tile_row() + i;
    if (t < chunk.all_rows)
      store_four(out + ((chunk.b * p.time.steps + chunk.begin + t) * p.G + g) * p.N, n0 + tile_column(), p.N, sums[i]);
  }
}

BackwardWork take_backward_work(const Mamba2ScanInputs& in, Scratch& scratch) {
  const Mamba2ScanSizes n(in);
  const int64_t chunks = n.B * mamba2_scan_chunks_cuda(in);
  BackwardWork work;
  work.gradients = scratch.take(chunks * n.H * n.P * n.N);
  work.pairs = scratch.take(chunks * n.H * kQ * kQ);
  work.group_pairs = scratch.take(chunks * n.G * kQ * kQ);
  work.from = scratch.take(chunks * n.H * kQ);
  work.to = scratch.take(chunks * n.H * kQ);
  work.z = scratch.take(chunks * n.H * kQ);
  work.across = scratch.take(chunks * n.H);
  work.partial = scratch.take(chunks * 3 * n.H);
  return work;
}

template <class T, bool kTensorCores>
BackwardWork launch_backward(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads, Scratch scratch) {
  const Problem<T> p(in, take_work(in, scratch));
  const BackwardWork work = take_backward_work(in, scratch);
  const Rows<const T> dy(grads.dy);
  const float* states = grads.chunk_states.as<const float>();
  const dim3 heads = chunk_grid(p, p.H), groups = chunk_grid(p, p.G), group_tiles = chunk_grid(p, p.G, tiles(p.N));
  launch_chunk_numbers<kTensorCores>(p);
  launch_chunk_sums<kTensorCores>(p, dy, p.c, true, work.gradients);
  launch_carries(p, work.gradients, grads.dlast_state.as<const float>(), grads.dstate.as<float>(), true);
  from_state_kernel<kTensorCores><<<heads, kThreads, 0, cuda_stream()>>>(p, work, dy, states);
  inputs_kernel<kTensorCores><<<heads, kThreads, 0, cuda_stream()>>>(p, work, dy, grads.dx.as<T>());
  pairs_kernel<kTensorCores><<<heads, kThreads, 0, cuda_stream()>>>(p, work, dy, grads.ddt.as<T>());
  group_pairs_kernel<<<groups, kThreads, 0, cuda_stream()>>>(p, work);
  groups_kernel<kTensorCores, true>
      <<<group_tiles, kThreads, 0, cuda_stream()>>>(p, work, p.x, work.gradients, grads.db.as<T>());
  groups_kernel<kTensorCores, false>
      <<<group_tiles, kThreads, 0, cuda_stream()>>>(p, work, dy, states, grads.dc.as<T>());
  return work;
}

}  // namespace
}  // namespace mamba2

int64_t mamba2_scan_backward_scratch_cuda(const Mamba2ScanInputs& in) {
  const Mamba2ScanSizes n(in);
  const int64_t head = n.P * n.N + mamba2::kQ * mamba2::kQ + 3 * mamba2::kQ + 4;
  return mamba2::work_size(in) + n.B * mamba2_scan_chunks_cuda(in) * (n.H * head + n.G * mamba2::kQ * mamba2::kQ);
}

void mamba2_scan_backward_cuda(const Mamba2ScanInputs& in, const Mamba2ScanGradients& grads,
                               const TensorView& scratch) {
  mamba2::BackwardWork work;
  mamba2::choose_products(in.x.dtype, "mamba2_scan_backward", [&]<class T, bool kTensorCores>() {
    work = mamba2::launch_backward<T, kTensorCores>(in, grads, {scratch.as<float>()});
  });
  VIGOR_CUDA_CHECK_LAUNCH("mamba2_scan_backward");
  const Shape sizes{in.x.sizes[0] * mamba2_scan_chunks_cuda(in), 3, in.x.sizes[2]};
  const TensorView partial{work.partial, sizes, contiguous_strides(sizes), Dtype::f32, in.x.device};
  add_blocks_cuda(grads.da_log, partial, 0);
  add_blocks_cuda(grads.dskip_d, partial, 1);
  add_blocks_cuda(grads.ddt_bias, partial, 2);
}

}  // namespace vigor
