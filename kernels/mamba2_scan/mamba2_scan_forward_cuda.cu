#include "kernels/elementwise/elementwise_rows.cuh"
#include "kernels/mamba2_scan/mamba2_scan_cuda.cuh"

namespace vigor {
namespace mamba2 {
namespace {

// A block owns 64 channels of a head in a chunk: Y = exp(L) C S^T + (M * (C B^T) * dt') X + D X.
template <bool kTensorCores, class T>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm) outputs_kernel(Problem<T> p, const float* states, T* y) {
  __shared__ Tiles tiles;
  __shared__ Scalars numbers;
  const Chunk chunk(p);
  const int h = static_cast<int>(blockIdx.y), g = h / p.group, p0 = static_cast<int>(blockIdx.z) * kTile;
  Sums sums;
  clear(sums);
  if (chunk.rows > 0) {
    numbers.load(p, chunk, h);
    multiply_by_state<kTensorCores>(sums, tiles, p, chunk, p.c, g, states + (chunk.bk * p.H + h) * p.P * p.N, p0,
                                    [&](int i) { return numbers.first[i] < 0; });
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[i][j] *= numbers.from_start[tile_row() + i];
    const float* products = p.work.products + (chunk.bk * p.G + g) * kQ * kQ;
    multiply<kTensorCores, Neighbours::along_depth, Neighbours::along_tile>(
        sums, tiles, chunk.rows,
        [&](int i, int j) { return numbers.left(i, j) * products[i * kQ + j] * numbers.dt[j]; },
        [&](int channel, int j) {
          return p0 + channel < p.P ? to_float(p.x.row(chunk.b, chunk.begin + j, h)[p0 + channel]) : 0;
        });
  }
  const float skip_d = p.skip_d[h];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = tile_row() + i, column = p0 + tile_column();
    if (row >= chunk.all_rows) break;
    float out[4] = {};
    if (row < chunk.rows) {
      const T* x = p.x.row(chunk.b, chunk.begin + row, h);
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (column + j < p.P) out[j] = fmaf(skip_d, to_float(x[column + j]), sums[i][j]);
    }
    store_four(y + ((chunk.b * p.time.steps + chunk.begin + row) * p.H + h) * p.P, column, p.P, out);
  }
}

// ---- one step ----

// A warp owns row p of a head's state, which it reads and writes once, N numbers of it `Pack` at a time.
template <int kPack, class T>
__global__ void __launch_bounds__(kThreads) step_kernel(Problem<T> p, const float* state, float* last_state, T* y) {
  constexpr int kWarps = kThreads / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, h = static_cast<int>(blockIdx.y), g = h / p.group;
  const int channel = static_cast<int>(blockIdx.z) * kWarps + static_cast<int>(threadIdx.x) / kWarpSize;
  const int64_t b = blockIdx.x;
  if (channel >= p.P) return;
  const int64_t row = (b * p.H + h) * p.P + channel;
  const bool real = p.time.length(b) > 0, reset = real && p.time.is_reset(b, 0);
  float dt = 0, x = 0;
  if (real) {
    dt = fminf(fmaxf(device::softplus(to_float(*p.dt.row(b, 0, h)) + p.dt_bias[h]), p.dt_min), p.dt_max);
    x = to_float(p.x.row(b, 0, h)[channel]);
  }
  const float decay = real ? expf(-expf(p.a_log[h]) * dt) : 1;
  const T *ssm_b = p.b.row(b, 0, g), *ssm_c = p.c.row(b, 0, g);
  float sum = 0;
  for (int n = lane * kPack; n < p.N; n += kWarpSize * kPack) {
    Pack<float, kPack> s = {};
    if (state != nullptr && !reset) s = load_pack<kPack>(state + row * p.N + n);
    if (real) {
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        s.value[j] = fmaf(decay, s.value[j], dt * x * to_float(ssm_b[n + j]));
        sum = fmaf(s.value[j], to_float(ssm_c[n + j]), sum);
      }
    }
    store_pack<kPack>(last_state + row * p.N + n, s);
  }
  sum = warp_sum(sum);
  if (lane == 0) y[row] = from_float<T>(real ? fmaf(p.skip_d[h], x, sum) : 0);
}

template <class T>
void launch_step(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out) {
  const Problem<T> p(in, {});
  const bool packs =
      packs_fit<float>(out.last_state.data, p.N) && (!in.state.defined() || packs_fit<float>(in.state.data, p.N));
  const auto kernel = packs ? step_kernel<4, T> : step_kernel<1, T>;
  const dim3 grid(static_cast<unsigned>(p.time.batch), static_cast<unsigned>(p.H),
                  static_cast<unsigned>(ceil_div(p.P, kThreads / kWarpSize)));
  kernel<<<grid, kThreads, 0, cuda_stream()>>>(p, in.state.as<float>(), out.last_state.as<float>(), out.y.as<T>());
}

}  // namespace
}  // namespace mamba2

int64_t mamba2_scan_forward_scratch_cuda(const Mamba2ScanInputs& in) { return mamba2::work_size(in); }

void mamba2_scan_forward_cuda(const Mamba2ScanInputs& in, const Mamba2ScanOutputs& out, const TensorView& scratch) {
  mamba2::choose_products(in.x.dtype, "mamba2_scan", [&]<class T, bool kTensorCores>() {
    if (!out.chunk_states.defined()) return mamba2::launch_step<T>(in, out);
    mamba2::Scratch pieces{scratch.as<float>()};
    const mamba2::Problem<T> p(in, mamba2::take_work(in, pieces));
    float* const states = out.chunk_states.as<float>();
    mamba2::launch_chunk_numbers<kTensorCores>(p);
    mamba2::launch_chunk_sums<kTensorCores>(p, p.x, p.b, false, states);
    mamba2::launch_carries(p, states, in.state.as<const float>(), out.last_state.as<float>(), false);
    mamba2::outputs_kernel<kTensorCores>
        <<<mamba2::chunk_grid(p, p.H, mamba2::tiles(p.P)), mamba2::kThreads, 0, cuda_stream()>>>(p, states,
                                                                                                 out.y.as<T>());
  });
  VIGOR_CUDA_CHECK_LAUNCH("mamba2_scan");
}

}  // namespace vigor
