#include "kernels/selective_scan/selective_scan_cuda.cuh"

namespace vigor::selective {
namespace {

template <class T>
struct Outputs {
  T* y;
  const float* state;   // [B,E,N] or null: zeros
  float* last_state;    // [B,E,N]
  float* chunk_states;  // [B,chunks,E,N] or null
};

template <class T, int L>
__global__ void __launch_bounds__(kThreads) selective_scan_forward_kernel(Inputs<T> in, Outputs<T> out) {
  __shared__ Chunk<L> chunk;
  const Place<L> place(in);
  const int64_t length = in.time.length(place.sequence), chunks = (in.time.steps + kSteps - 1) / kSteps;
  const float skip_d = place.exists ? in.d[place.e] : 0.0f, bias = Chunk<L>::loaded_bias(in, place);
  float a2[kOwn], h[kOwn];
  load_a2<L>(a2, in, place);
  load_states<L>(h, out.state != nullptr ? out.state + place.state(in, place.sequence) : nullptr, in, place);
  for (int64_t first = 0; first < length; first += kSteps) {
    const int steps = static_cast<int>(min(length - first, int64_t{kSteps}));
    chunk.load(in, place, first, steps, bias);
    __syncthreads();
    if (out.chunk_states != nullptr)
      store_states<L>(out.chunk_states + place.state(in, place.sequence * chunks + first / kSteps), h, in, place);
    for (int i = 0; i < steps; ++i) {
      const float size = chunk.size[i][place.channel], x = chunk.x[i][place.channel], input = size * x;
      const auto b = load_pack<kOwn>(&chunk.b[i][place.n]), c = load_pack<kOwn>(&chunk.c[i][place.n]);
      const float kept = chunk.reset[i] ? 0.0f : 1.0f;
      float sum = 0;
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        h[j] = exp2f(size * a2[j]) * kept * h[j] + input * b.value[j];
        sum += h[j] * c.value[j];
      }
      sum = channel_sum<L>(sum);
      __syncwarp();  // all lanes of the channel have read x
      if (place.lane == 0) chunk.x[i][place.channel] = sum + skip_d * x;
    }
    __syncthreads();
    Chunk<L>::for_each_element(steps, [&](int i, int channel) {
      const int64_t e = place.first_channel + channel;
      if (e < in.E) out.y[(place.sequence * in.time.steps + first + i) * in.E + e] = from_float<T>(chunk.x[i][channel]);
    });
    __syncthreads();
  }
  store_states<L>(out.last_state + place.state(in, place.sequence), h, in, place);
  clear_padding<L>(out.y, in, place, length);
}

}  // namespace
}  // namespace vigor::selective

namespace vigor {

void selective_scan_forward_cuda(const SelectiveScanArguments& in, const SelectiveScanOutputs& out) {
  using namespace selective;
  choose_kernel(in, "selective_scan", [&]<class T, int L>() {
    const Outputs<T> outputs{out.y.as<T>(), in.state.as<const float>(), out.last_state.as<float>(),
                             out.chunk_states.as<float>()};
    selective_scan_forward_kernel<T, L><<<grid_of(in), kThreads, 0, cuda_stream()>>>(Inputs<T>(in), outputs);
  });
  VIGOR_CUDA_CHECK_LAUNCH("selective_scan");
}

}  // namespace vigor
