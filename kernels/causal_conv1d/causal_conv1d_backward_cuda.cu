#include "kernels/block_sums_cuda.cuh"
#include "kernels/causal_conv1d/causal_conv1d_cuda.cuh"
#include "kernels/elementwise/elementwise_rows.cuh"
#include "kernels/swiglu/silu_cuda.cuh"

namespace vigor {
namespace conv {

constexpr int kAhead = 4;         // rows of x and dy that a thread asks for at once
constexpr int kBackwardPack = 4;  // channels of a thread: more would not leave registers for eight taps

template <class T>
struct Gradients {
  const T *dy, *dlast_state;  // [B,T,C]; [B,K-1,C] or null
  T *dx, *dstate;             // [B,T,C]; [B,K-1,C] or null
  float* partial;             // [parts,K+1,C]
};

// What a thread adds up: for its run, the gradients of the inputs in the window; for all its runs, those of weights.
template <class T, int N, int Taps>
struct Sums {
  float du[Taps][N], dweight[Taps][N] = {}, dbias[N] = {};

  // The window moved on by one input.
  __device__ void shift() {
#pragma unroll
    for (int j = 0; j < N; ++j) {
#pragma unroll
      for (int k = 0; k + 1 < Taps; ++k) du[k][j] = du[k + 1][j];
      du[Taps - 1][j] = 0;
    }
  }

  // The step of the newest input of `window`, with the gradient dy of its result. `own`: the step belongs to the run.
  __device__ void add_step(const Window<T, N, Taps>& window, const Weights<N, Taps>& weights, const Pack<T, N>& dy,
                           bool silu, bool own) {
    float p[N], g[N];
    window.convolve(p, weights);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float s = device::sigmoid(p[j]);
      g[j] = to_float(dy.value[j]) * (silu ? silu_slope(p[j], s) : 1);
      if (own) dbias[j] += g[j];
    }
#pragma unroll
    for (int k = 0; k < Taps; ++k) {
      const bool seen = k >= Taps - 1 - window.reach;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (seen) du[k][j] = fmaf(weights.tap[k][j], g[j], du[k][j]);
        if (seen && own) dweight[k][j] = fmaf(g[j], window.u[k][j], dweight[k][j]);
      }
    }
  }
};

// Writes the gradient of input s; `last` is what reaches it through last_state, or null.
template <class T, int N>
__device__ void store_input_gradient(const Inputs<T>& in, const Gradients<T>& out, int64_t b, int c, int64_t s,
                                     const float (&du)[N], const T* last) {
  if (s < 0 && out.dstate == nullptr) return;
  float sum[N];
  if (last != nullptr) {
    const Pack<T, N> pack = load_pack<N>(last);
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = du[j] + to_float(pack.value[j]);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = du[j];
  }
  store_floats(
      s >= 0 ? out.dx + (b * in.time.steps + s) * in.C + c : out.dstate + (b * (in.K - 1) + s + in.K - 1) * in.C + c,
      sum);
}

// One run: forward in time through its steps and the K - 1 after them, which also see its inputs. An input's gradient
// is complete when the input leaves the window.
template <class T, int N, int Taps>
__device__ void backward_run(const Inputs<T>& in, const Gradients<T>& out, const Weights<N, Taps>& weights,
                             Sums<T, N, Taps>& sums, int64_t b, int c, int64_t start) {
  const int64_t length = in.time.length(b), end = min(start + kRun, in.time.steps),
                first = start == 0 ? 1 - in.K : start;
  const float zeros[N] = {};
  for (int64_t t = max(start, length); t < end; ++t) store_floats(out.dx + (b * in.time.steps + t) * in.C + c, zeros);
  if (start > 0 && start >= length) return;

  Window<T, N, Taps> window;
  window.fill(in, b, c, start);
#pragma unroll
  for (int k = 0; k < Taps; ++k)
#pragma unroll
    for (int j = 0; j < N; ++j) sums.du[k][j] = 0;
  const int64_t steps_end = min(start + kRun + in.K - 1, length);
  const auto step = [&](int64_t t, const Pack<T, N>& input, const Pack<T, N>& dy) {
    window.push(in, b, t, input);
    sums.shift();
    sums.add_step(window, weights, dy, in.silu, t < end);
    const int64_t s = t - (Taps - 1);
    if (s >= first) store_input_gradient(in, out, b, c, s, sums.du[0], static_cast<const T*>(nullptr));
  };
  const T* all_dy = out.dy + b * in.time.steps * in.C + c;
  int64_t t = start;
  for (; t + kAhead <= steps_end; t += kAhead) {
    Pack<T, N> rows[kAhead], dy[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      rows[i] = load_pack<N>(in.x.row(b, t + i) + c);
      dy[i] = load_pack<N>(all_dy + (t + i) * in.C);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) step(t + i, rows[i], dy[i]);
  }
  for (; t < steps_end; ++t) step(t, load_pack<N>(in.x.row(b, t) + c), load_pack<N>(all_dy + t * in.C));
    // The inputs that are still in the window. Those behind the run belong to the next one.
#pragma unroll
  for (int k = 1; k < Taps; ++k) {
    const int64_t s = steps_end - Taps + k, row = s - (length - (in.K - 1));  // of last_state
    if (s < first || s >= end) continue;
    const bool last = steps_end == length && row >= 0 && Taps - 1 - k <= window.reach && out.dlast_state != nullptr;
    store_input_gradient(in, out, b, c, s, sums.du[k],
                         last ? out.dlast_state + (b * (in.K - 1) + row) * in.C + c : static_cast<const T*>(nullptr));
  }
}

// Threads own channels and runs as in the forward kernel. The sums for the weights are added up over the runs of a
// thread, then over the warps of the block, in order.
template <class T, int N, int Taps>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm) backward_kernel(Gradients<T> out, Inputs<T> in) {
  __shared__ float added[kBlockRuns][kWarpSize * N];
  const int begin = static_cast<int>(blockIdx.x) * kWarpSize * N, c = begin + static_cast<int>(threadIdx.x) * N;
  const Weights<N, Taps> weights(in, begin);
  Sums<T, N, Taps> sums;
  for (unsigned r = blockIdx.y * kBlockRuns + threadIdx.y; c < in.C && r < in.all_runs; r += gridDim.y * kBlockRuns) {
    const unsigned b = r / in.runs;
    backward_run(in, out, weights, sums, b, c, int64_t{r - b * in.runs} * kRun);
  }
  float* partial = out.partial + blockIdx.y * (in.K + 1) * in.C;
  // A row before the first tap is none.
  const auto add_up = [&](const float(&own)[N], int row) {
#pragma unroll
    for (int j = 0; j < N; ++j) added[threadIdx.y][threadIdx.x * N + j] = own[j];
    __syncthreads();
    const int thread = static_cast<int>(threadIdx.y * kWarpSize + threadIdx.x);
    for (int i = thread; row >= 0 && i < kWarpSize * N && begin + i < in.C; i += kThreads) {
      float total = 0;
      for (int warp = 0; warp < kBlockRuns; ++warp) total += added[warp][i];
      partial[row * in.C + begin + i] = total;
    }
    __syncthreads();
  };
#pragma unroll
  for (int k = 0; k < Taps; ++k) add_up(sums.dweight[k], k - weights.first);
  add_up(sums.dbias, in.K);
}

}  // namespace conv

void causal_conv1d_backward_cuda(const CausalConv1dInputs& in, const CausalConv1dGradients& grads,
                                 const TensorView& partial) {
  visit_cuda_float(in.x.dtype, "causal_conv1d_backward", [&]<class T>() {
    constexpr int Widest = conv::kBackwardPack;
    const conv::Inputs<T> inputs(in);
    const conv::Gradients<T> out{grads.dy.as<T>(), grads.dlast_state.as<T>(), grads.dx.as<T>(), grads.dstate.as<T>(),
                                 partial.as<float>()};
    const bool packs = conv::inputs_fit<T>(Widest, in) &&
                       conv::rows_fit<T>(Widest, {&grads.dy, &grads.dlast_state, &grads.dx, &grads.dstate});
    conv::choose<Widest>(packs, in.K, [&]<int N, int Taps>() {
      conv::backward_kernel<T, N, Taps>
          <<<conv::grid(inputs.C, N, partial.sizes[0]), dim3(kWarpSize, conv::kBlockRuns), 0, cuda_stream()>>>(out,
                                                                                                               inputs);
    });
  });
  VIGOR_CUDA_CHECK_LAUNCH("causal_conv1d_backward");
  add_blocks_cuda(grads.dweight, partial, 0, in.K);
  add_blocks_cuda(grads.dbias, partial, in.K);
}

}  // namespace vigor
