#include "kernels/causal_conv1d/causal_conv1d_cuda.cuh"
#include "kernels/elementwise/elementwise_rows.cuh"

namespace vigor {
namespace conv {

// Rows that a thread asks for at once: their latencies overlap.
constexpr int kAhead = 8;

// A thread owns N channels of a run; a warp 32 N neighbouring channels, a block kBlockRuns runs of them. The window of
// the last inputs stays in registers, so each row is loaded once.
template <class T, int N, int Taps>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm) forward_kernel(T* y, T* last_state, Inputs<T> in) {
  const int begin = static_cast<int>(blockIdx.x) * kWarpSize * N, c = begin + static_cast<int>(threadIdx.x) * N;
  const Weights<N, Taps> weights(in, begin);
  if (c >= in.C) return;
  for (unsigned r = blockIdx.y * kBlockRuns + threadIdx.y; r < in.all_runs; r += gridDim.y * kBlockRuns) {
    const unsigned sequence = r / in.runs;
    const int64_t b = sequence, start = int64_t{r - sequence * in.runs} * kRun, length = in.time.length(b);
    const int64_t end = min(start + kRun, in.time.steps), real_end = min(end, length);
    Window<T, N, Taps> window;
    if (start == 0 || start < length) window.fill(in, b, c, start);
    const auto step = [&](int64_t t, const Pack<T, N>& input) {
      window.push(in, b, t, input);
      float p[N];
      window.convolve(p, weights);
      if (in.silu)
#pragma unroll
        for (int j = 0; j < N; ++j) p[j] *= device::sigmoid(p[j]);
      store_floats(y + (b * in.time.steps + t) * in.C + c, p);
    };
    int64_t t = start;
    for (; t + kAhead <= real_end; t += kAhead) {
      Pack<T, N> rows[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) rows[i] = load_pack<N>(in.x.row(b, t + i) + c);
#pragma unroll
      for (int i = 0; i < kAhead; ++i) step(t + i, rows[i]);
    }
    for (; t < real_end; ++t) step(t, load_pack<N>(in.x.row(b, t) + c));
    const float zeros[N] = {};
    for (t = max(start, length); t < end; ++t) store_floats(y + (b * in.time.steps + t) * in.C + c, zeros);
    // The run with the last real step leaves the state; the first run when there is no step.
    if (length > end || (start > 0 && length <= start)) continue;
#pragma unroll
    for (int k = 1; k < Taps; ++k)
      if (k > weights.first)
        store_floats(last_state + (b * (in.K - 1) + k - weights.first - 1) * in.C + c, window.u[k]);
  }
}

}  // namespace conv

void causal_conv1d_forward_cuda(const TensorView& y, const TensorView& last_state, const CausalConv1dInputs& in) {
  visit_cuda_float(in.x.dtype, "causal_conv1d", [&]<class T>() {
    constexpr int Widest = kPackElements<T>;
    const conv::Inputs<T> inputs(in);
    const int64_t groups = std::min<int64_t>(ceil_div(inputs.all_runs, conv::kBlockRuns), 65535);
    const bool packs = conv::inputs_fit<T>(Widest, in) && conv::rows_fit<T>(Widest, {&y, &last_state});
    conv::choose<Widest>(packs, in.K, [&]<int N, int Taps>() {
      conv::forward_kernel<T, N, Taps>
          <<<conv::grid(inputs.C, N, groups), dim3(kWarpSize, conv::kBlockRuns), 0, cuda_stream()>>>(
              y.as<T>(), last_state.as<T>(), inputs);
    });
  });
  VIGOR_CUDA_CHECK_LAUNCH("causal_conv1d");
}

}  // namespace vigor
