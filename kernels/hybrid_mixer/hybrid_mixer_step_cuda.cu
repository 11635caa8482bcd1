#include "kernels/hybrid_mixer/hybrid_mixer_cuda.cuh"

namespace vigor::hybrid {
namespace {

constexpr int kThreads = 512;
constexpr int kLanesPerChannel = 8;

template <class X>
struct StepArguments {
  Time time;
  int64_t d;
  int n;
  const X* x;  // [B,1,d]
  X* y;
  const float *w, *a, *b, *c, *skip_d;
  const float *h0, *s0;  // or null
  float *h_last, *s_last;
  float *s, *h_chunks;  // for a backward pass
};

// One step: what generating a token costs. A block owns a sequence and reads A, B and C once (from the L2 cache, the
// same for all sequences): a warp sums a state over all channels, and after one barrier eight lanes sum a channel over
// all states; both read rows side by side.
template <class X>
__global__ __launch_bounds__(kThreads) void step_kernel(StepArguments<X> p) {
  __shared__ float s_new[kHybridMaxStates];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize;
  const int64_t sequence = blockIdx.x;
  const bool real = p.time.length(sequence) > 0;
  const bool reset = p.time.is_reset(sequence, 0);
  const X* x = p.x + sequence * p.d;
  const float* s0 = p.s0 != nullptr ? p.s0 + sequence * p.n : nullptr;
  for (int i = thread / kWarpSize; i < p.n; i += kThreads / kWarpSize) {
    float sum = 0;
#pragma unroll 8
    for (int64_t c = lane; c < p.d; c += kWarpSize) sum += p.b[i * p.d + c] * to_float(x[c]);
    if (s0 != nullptr && !reset)
      for (int j = lane; j < p.n; j += kWarpSize) sum += p.a[i * p.n + j] * s0[j];
    sum = warp_sum(sum);
    if (lane != 0) continue;
    s_new[i] = sum;
    p.s[sequence * p.n + i] = real ? sum : 0.0f;
    p.s_last[sequence * p.n + i] = real ? sum : s0 != nullptr ? s0[i] : 0.0f;
  }
  __syncthreads();
  const int part = thread % kLanesPerChannel;
  constexpr int kChannels = kThreads / kLanesPerChannel;
  for (int64_t c0 = 0; c0 < p.d; c0 += kChannels) {
    const int64_t c = c0 + thread / kLanesPerChannel, at = sequence * p.d + c;
    float sum = 0;
    if (c < p.d)
      for (int j = part; j < p.n; j += kLanesPerChannel) sum += p.c[c * p.n + j] * s_new[j];
    for (int offset = kLanesPerChannel / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kFullWarp, sum, offset);
    if (part != 0 || c >= p.d) continue;
    const float h_before = p.h0 != nullptr ? p.h0[at] : 0.0f;
    const float h = p.w[c] * (reset ? 0.0f : h_before) + (1.0f - p.w[c]) * to_float(x[c]);
    p.y[at] = from_float<X>(real ? sum + p.skip_d[c] * h : 0.0f);
    p.h_last[at] = real ? h : h_before;
    p.h_chunks[at] = h_before;
  }
}

}  // namespace

void forward_step(const HybridMixerInputs& in, const HybridMixerOutputs& out, const HybridMixerWork& work) {
  visit_cuda_float(in.x.dtype, "hybrid_mixer", [&]<class X>() {
    const StepArguments<X> p{Time(in),
                             in.x.sizes[2],
                             static_cast<int>(in.ssm_a.sizes[0]),
                             static_cast<const X*>(in.x.data),
                             static_cast<X*>(out.y.data),
                             in.w_mix.as<float>(),
                             in.ssm_a.as<float>(),
                             in.ssm_b.as<float>(),
                             in.ssm_c.as<float>(),
                             in.skip_d.as<float>(),
                             in.h0.as<float>(),
                             in.s0.as<float>(),
                             out.h_last.as<float>(),
                             out.s_last.as<float>(),
                             out.s.as<float>(),
                             work.h_chunks.as<float>()};
    step_kernel<<<static_cast<unsigned>(p.time.batch), kThreads, 0, cuda_stream()>>>(p);
  });
  VIGOR_CUDA_CHECK_LAUNCH("hybrid_mixer step");
}

}  // namespace vigor::hybrid
