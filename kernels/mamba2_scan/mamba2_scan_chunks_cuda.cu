#include "kernels/elementwise/elementwise_rows.cuh"
#include "kernels/mamba2_scan/mamba2_scan_cuda.cuh"

namespace vigor {
namespace mamba2 {
namespace {

constexpr int kWarps = kThreads / kWarpSize;

// A warp owns a head of a chunk, a lane two steps: dt', and by scans over the lanes the sums L and the last reset.
template <class T>
__global__ void __launch_bounds__(kThreads) decays_kernel(Problem<T> p) {
  const Chunk chunk(p);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int h = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / kWarpSize;
  if (h >= p.H) return;
  const float a = -expf(p.a_log[h]), bias = p.dt_bias[h];
  float dt[2];
  double sum[2];  // of a dt': a chunk may hold decays of e-10 and of e+3 (see Work)
  int first = -1, seen[2];
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const int i = 2 * lane + q;
    const bool real = i < chunk.rows;
    const float raw = real ? to_float(*p.dt.row(chunk.b, chunk.begin + i, h)) + bias : 0;
    dt[q] = real ? fminf(fmaxf(device::softplus(raw), p.dt_min), p.dt_max) : 0;
    sum[q] = (q > 0 ? sum[0] : 0) + static_cast<double>(a * dt[q]);
    if (real && p.time.is_reset(chunk.b, chunk.begin + i)) first = i;
    seen[q] = first;
  }
  double before = sum[1];
  for (int offset = 1; offset < kWarpSize; offset *= 2) {
    const double other = __shfl_up_sync(kFullWarp, before, offset);
    const int other_first = __shfl_up_sync(kFullWarp, first, offset);
    if (lane >= offset) before += other, first = max(first, other_first);
  }
  const double last_sum = __shfl_sync(kFullWarp, before, kWarpSize - 1);
  const int last_first = __shfl_sync(kFullWarp, first, kWarpSize - 1);
  const double previous = __shfl_up_sync(kFullWarp, before, 1);
  const int previous_first = __shfl_up_sync(kFullWarp, first, 1);
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const int i = 2 * lane + q;
    const int64_t at = (chunk.bk * p.H + h) * kQ + i;
    const double total = (lane > 0 ? previous : 0) + sum[q];
    const int sees = max(seen[q], lane > 0 ? previous_first : -1);
    const auto high = static_cast<float>(total);
    p.work.decay[at] = make_float2(high, static_cast<float>(total - static_cast<double>(high)));
    p.work.dt[at] = dt[q];
    p.work.from_start[at] = sees < 0 ? expf(high) : 0;
    p.work.to_end[at] = i >= last_first ? expf(static_cast<float>(last_sum - total)) : 0;
    if (h == 0) p.work.first[chunk.bk * kQ + i] = sees;
  }
}

// A block owns a chunk of a group: C_i . B_j, which all heads of the group share.
template <bool kTensorCores, class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm) products_kernel(Problem<T> p) {
  __shared__ Tiles tiles;
  const Chunk chunk(p);
  const int g = static_cast<int>(blockIdx.y);
  if (chunk.rows == 0) return;
  const auto factor = [&](const Rows<const T>& x, int i, int n) {
    return i < chunk.rows ? to_float(x.row(chunk.b, chunk.begin + i, g)[n]) : 0;
  };
  Sums sums;
  clear(sums);
  multiply<kTensorCores, Neighbours::along_depth, Neighbours::along_depth>(
      sums, tiles, p.N, [&](int i, int n) { return factor(p.c, i, n); },
      [&](int j, int n) { return factor(p.b, j, n); });
  float* out = p.work.products + (chunk.bk * p.G + g) * kQ * kQ;
#pragma unroll
  for (int i = 0; i < 4; ++i) store_four(out + (tile_row() + i) * kQ, tile_column(), kQ, sums[i]);
}

// A block owns a tile of P and N of a head's state in a chunk.
template <bool kTensorCores, bool kBackward, class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm)
    chunk_sums_kernel(Problem<T> p, Rows<const T> left, Rows<const T> right, float* states) {
  __shared__ Tiles tiles;
  __shared__ float weights[kQ];
  const Chunk chunk(p);
  if (chunk.rows == 0) return;
  const int h = static_cast<int>(blockIdx.y), g = h / p.group, thread = static_cast<int>(threadIdx.x);
  const int across = (p.N + kTile - 1) / kTile, tile = static_cast<int>(blockIdx.z);
  const int p0 = tile / across * kTile, n0 = tile % across * kTile;
  const int64_t numbers = (chunk.bk * p.H + h) * kQ;
  if (thread < kQ)
    weights[thread] =
        kBackward ? p.work.from_start[numbers + thread] : p.work.to_end[numbers + thread] * p.work.dt[numbers + thread];
  __syncthreads();
  Sums sums;
  clear(sums);
  multiply<kTensorCores, Neighbours::along_tile, Neighbours::along_tile>(
      sums, tiles, chunk.rows,
      [&](int i, int j) {
        return p0 + i < p.P ? weights[j] * to_float(left.row(chunk.b, chunk.begin + j, h)[p0 + i]) : 0;
      },
      [&](int n, int j) { return n0 + n < p.N ? to_float(right.row(chunk.b, chunk.begin + j, g)[n0 + n]) : 0; });
  float* out = states + (chunk.bk * p.H + h) * p.P * p.N;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = p0 + tile_row() + i;
    if (row < p.P) store_four(out + int64_t{row} * p.N, n0 + tile_column(), p.N, sums[i]);
  }
}

// A thread owns a number of the state of one sequence and goes through all chunks.
template <class T, bool kBackward>
__global__ void __launch_bounds__(kThreads)
    carries_kernel(Problem<T> p, float* states, const float* start, float* end) {
  const int64_t size = int64_t{p.H} * p.P * p.N, i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= size) return;
  const int h = static_cast<int>(static_cast<unsigned>(i) / static_cast<unsigned>(p.P * p.N));
  const int64_t b = blockIdx.y, length = p.time.length(b);
  const int chunks = static_cast<int>((length + kQ - 1) / kQ);  // those with steps that count
  float carried = start != nullptr ? start[b * size + i] : 0;
#pragma unroll 4
  for (int step = 0; step < chunks; ++step) {
    const int64_t bk = b * p.chunks + (kBackward ? chunks - 1 - step : step);
    const float added = states[bk * size + i], whole = p.work.from_start[(bk * p.H + h) * kQ + kQ - 1];
    states[bk * size + i] = carried;
    carried = whole > 0 ? fmaf(whole, carried, added) : added;  // nothing comes across a reset, not even an infinity
  }
  if (end != nullptr) end[b * size + i] = carried;
}

}  // namespace

int64_t work_size(const Mamba2ScanInputs& in) {
  const Mamba2ScanSizes n(in);
  return n.B * mamba2_scan_chunks_cuda(in) * kQ * (5 * n.H + 1 + n.G * kQ);
}

Work take_work(const Mamba2ScanInputs& in, Scratch& scratch) {
  const Mamba2ScanSizes n(in);
  const int64_t steps = n.B * mamba2_scan_chunks_cuda(in) * kQ;
  Work work;
  work.decay = scratch.take<float2>(2 * steps * n.H);
  work.products = scratch.take(steps * n.G * kQ);
  work.dt = scratch.take(steps * n.H);
  work.from_start = scratch.take(steps * n.H);
  work.to_end = scratch.take(steps * n.H);
  work.first = scratch.take<int>(steps);
  return work;
}

template <bool kTensorCores, class T>
void launch_chunk_numbers(const Problem<T>& p) {
  decays_kernel<T><<<chunk_grid(p, static_cast<int>(ceil_div(p.H, kWarps))), kThreads, 0, cuda_stream()>>>(p);
  products_kernel<kTensorCores><<<chunk_grid(p, p.G), kThreads, 0, cuda_stream()>>>(p);
}

template <bool kTensorCores, class T>
void launch_chunk_sums(const Problem<T>& p, Rows<const T> left, Rows<const T> right, bool backward, float* states) {
  const auto kernel = backward ? chunk_sums_kernel<kTensorCores, true, T> : chunk_sums_kernel<kTensorCores, false, T>;
  kernel<<<chunk_grid(p, p.H, tiles(p.P) * tiles(p.N)), kThreads, 0, cuda_stream()>>>(p, left, right, states);
}

template <class T>
void launch_carries(const Problem<T>& p, float* states, const float* start, float* end, bool backward) {
  const auto kernel = backward ? carries_kernel<T, true> : carries_kernel<T, false>;
  const int64_t size = int64_t{p.H} * p.P * p.N;
  kernel<<<dim3(static_cast<unsigned>(ceil_div(size, kThreads)), static_cast<unsigned>(p.time.batch)), kThreads, 0,
           cuda_stream()>>>(p, states, start, end);
}

#define VIGOR_MAMBA2_PRODUCTS(T, tensor_cores)                         \
  template void launch_chunk_numbers<tensor_cores>(const Problem<T>&); \
  template void launch_chunk_sums<tensor_cores>(const Problem<T>&, Rows<const T>, Rows<const T>, bool, float*);
VIGOR_MAMBA2_PRODUCTS(float, false)
VIGOR_MAMBA2_PRODUCTS(__nv_bfloat16, false)
VIGOR_MAMBA2_PRODUCTS(__nv_bfloat16, true)
#undef VIGOR_MAMBA2_PRODUCTS
template void launch_carries(const Problem<float>&, float*, const float*, float*, bool);
template void launch_carries(const Problem<__nv_bfloat16>&, float*, const float*, float*, bool);

}  // namespace mamba2
}  // namespace vigor
