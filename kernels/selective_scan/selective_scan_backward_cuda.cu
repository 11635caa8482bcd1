// Backward walks the chunks from the last to the first. In each, (1) the states are computed again from those before
// the chunk and left in shared memory, a slot for every step and state; (2) dC_t[n] is summed over the channels from
// there; (3) the walk back turns the slot of a step, which nobody needs any more, into its part of dB; (4) that is
// summed over the channels too. The sums of a block go to work space, and a second kernel adds the blocks.
#include "kernels/block_sums_cuda.cuh"
#include "kernels/selective_scan/selective_scan_cuda.cuh"

namespace vigor::selective {
namespace {

template <class T>
struct Gradients {
  const T* dy;
  const float* dlast_state;   // [B,E,N] or null
  const float* chunk_states;  // [B,chunks,E,N]
  T *dx, *ddelta;
  float* dstate;           // [B,E,N]
  float* sums_bc;          // [B,blocks,T,2,N]
  float *sums_a, *sums_d;  // [B,E,N], [B,2,E]
};

// A row of slots has one for each state of the block, and 16 more so that two rows lie in different banks.
constexpr int kRow = kThreads * kOwn + 16;

template <int L>
struct Shared {
  Chunk<L> chunk;
  float dy[kSteps][Place<L>::kChannels];
  alignas(kPackBytes) float slots[kSteps][kRow];
};

// sums [T,2,N] (+ which N) of step i = sum over channels of weight(i, channel) slots[i][channel, n], in their order.
template <int L, class T, class Weight>
__device__ void sum_channels(float* sums, const Shared<L>& shared, const Inputs<T>& in, int steps, Weight&& weight) {
  constexpr int kStates = Chunk<L>::kStates;
  for (int k = static_cast<int>(threadIdx.x); k < steps * kStates; k += kThreads) {
    const int i = k / kStates, n = k % kStates;
    if (n >= in.N) continue;
    float sum = 0;
#pragma unroll 8
    for (int channel = 0; channel < Place<L>::kChannels; ++channel)
      sum += weight(i, channel) * shared.slots[i][channel * kStates + n];
    sums[2 * i * in.N + n] = sum;
  }
}

// What a thread keeps from chunk to chunk.
struct Sums {
  float g[kOwn], da[kOwn] = {};  // the gradient of its states, and of s A
  float dd = 0, dbias = 0;
};

// Step 3 for step i of a chunk: h_start is the state before the chunk.
template <int L>
__device__ void backward_step(Shared<L>& shared, Sums& sums, const Place<L>& place, int i, const float (&a2)[kOwn],
                              const float (&h_start)[kOwn], float skip_d) {
  Chunk<L>& chunk = shared.chunk;
  const float size = chunk.size[i][place.channel], x = chunk.x[i][place.channel], dy = shared.dy[i][place.channel];
  const auto b = load_pack<kOwn>(&chunk.b[i][place.n]), c = load_pack<kOwn>(&chunk.c[i][place.n]);
  const int own = static_cast<int>(threadIdx.x) * kOwn;
  Pack<float, kOwn> before{h_start[0], h_start[1], h_start[2], h_start[3]}, db;
  if (i > 0) before = load_pack<kOwn>(&shared.slots[i - 1][own]);
  const float kept = chunk.reset[i] ? 0.0f : 1.0f;
  float into_b = 0, into_a = 0;
#pragma unroll
  for (int j = 0; j < kOwn; ++j) {
    float& g = sums.g[j];
    g += c.value[j] * dy;
    db.value[j] = g * size * x;
    into_b += g * b.value[j];
    g *= exp2f(size * a2[j]) * kept;
    const float k = g * before.value[j];
    into_a += k * a2[j];
    sums.da[j] += k * size;
  }
  store_pack<kOwn>(&shared.slots[i][own], db);
  into_b = channel_sum<L>(into_b);
  into_a = channel_sum<L>(into_a) * kLn2;  // a2 is A log2(e)
  __syncwarp();                            // all lanes of the channel have read x and size
  if (place.lane != 0) return;
  // sigmoid(u) = 1 - e^-softplus(u)
  const float ddelta = (into_a + x * into_b) * -expm1f(-size);
  chunk.x[i][place.channel] = skip_d * dy + size * into_b;  // dx
  chunk.size[i][place.channel] = ddelta;
  sums.dd += dy * x;
  sums.dbias += ddelta;
}

// Four blocks a multiprocessor: the five that shared memory allows would leave a thread too few registers.
template <class T, int L>
__global__ void __launch_bounds__(kThreads, 4) selective_scan_backward_kernel(Inputs<T> in, Gradients<T> p) {
  __shared__ Shared<L> shared;
  Chunk<L>& chunk = shared.chunk;
  const Place<L> place(in);
  const int64_t T_steps = in.time.steps, length = in.time.length(place.sequence);
  const int64_t all_chunks = (T_steps + kSteps - 1) / kSteps, states = place.state(in, place.sequence);
  const float skip_d = place.exists ? in.d[place.e] : 0.0f, bias = Chunk<L>::loaded_bias(in, place);
  float a2[kOwn];
  load_a2<L>(a2, in, place);
  Sums sums;
  load_states<L>(sums.g, p.dlast_state != nullptr ? p.dlast_state + states : nullptr, in, place);
  for (int64_t index = (length + kSteps - 1) / kSteps - 1; index >= 0; --index) {
    const int64_t first = index * kSteps, row = place.sequence * T_steps + first;
    const int steps = static_cast<int>(min(length - first, int64_t{kSteps}));
    chunk.load(in, place, first, steps, bias);
    Chunk<L>::for_each_element(kSteps, [&](int i, int channel) {
      const int64_t e = place.first_channel + channel;
      shared.dy[i][channel] = i < steps && e < in.E ? to_float(p.dy[(row + i) * in.E + e]) : 0.0f;
    });
    __syncthreads();
    float h_start[kOwn], h[kOwn];
    load_states<L>(h_start, p.chunk_states + place.state(in, place.sequence * all_chunks + index), in, place);
#pragma unroll
    for (int j = 0; j < kOwn; ++j) h[j] = h_start[j];
    for (int i = 0; i < steps; ++i) {
      const float size = chunk.size[i][place.channel], input = size * chunk.x[i][place.channel];
      const auto b = load_pack<kOwn>(&chunk.b[i][place.n]);
      const float kept = chunk.reset[i] ? 0.0f : 1.0f;
#pragma unroll
      for (int j = 0; j < kOwn; ++j) h[j] = exp2f(size * a2[j]) * kept * h[j] + input * b.value[j];
      store_pack<kOwn>(&shared.slots[i][threadIdx.x * kOwn], Pack<float, kOwn>{h[0], h[1], h[2], h[3]});
    }
    __syncthreads();
    float* sums_bc = p.sums_bc + (int64_t{blockIdx.x} * T_steps + first) * 2 * in.N;
    sum_channels<L>(sums_bc + in.N, shared, in, steps, [&](int i, int channel) { return shared.dy[i][channel]; });
    __syncthreads();
    for (int i = steps - 1; i >= 0; --i) backward_step(shared, sums, place, i, a2, h_start, skip_d);
    __syncthreads();
    sum_channels<L>(sums_bc, shared, in, steps, [](int, int) { return 1.0f; });
    Chunk<L>::for_each_element(steps, [&](int i, int channel) {
      const int64_t e = place.first_channel + channel;
      if (e >= in.E) return;
      p.dx[(row + i) * in.E + e] = from_float<T>(chunk.x[i][channel]);
      p.ddelta[(row + i) * in.E + e] = from_float<T>(chunk.size[i][channel]);
    });
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < kOwn; ++j) sums.da[j] *= a2[j] * kLn2;  // of A to a_log
  store_states<L>(p.dstate + states, sums.g, in, place);
  store_states<L>(p.sums_a + states, sums.da, in, place);
  if (place.exists && place.lane == 0) {
    p.sums_d[place.sequence * 2 * in.E + place.e] = sums.dd;
    p.sums_d[(place.sequence * 2 + 1) * in.E + place.e] = sums.dbias;
  }
  clear_padding<L>(p.dx, in, place, length);
  clear_padding<L>(p.ddelta, in, place, length);
}

// db and dc [B,T,N] = the sums over the blocks of channels, in their order; 0 in padding.
template <class T>
__global__ void add_channel_blocks_kernel(T* db, T* dc, const float* sums, DeviceSequences time, int64_t blocks,
                                          int64_t N) {
  const int64_t all = time.batch * time.steps * 2 * N;
  for (int64_t i = global_thread(); i < all; i += global_threads()) {
    const int64_t row = i / (2 * N), column = i % (2 * N), b = row / time.steps, t = row % time.steps;
    float total = 0;
    if (t < time.length(b))
      for (int64_t block = 0; block < blocks; ++block)
        total += sums[((b * blocks + block) * time.steps + t) * 2 * N + column];
    (column < N ? db : dc)[row * N + column % N] = from_float<T>(total);
  }
}

}  // namespace
}  // namespace vigor::selective

namespace vigor {

void selective_scan_backward_cuda(const SelectiveScanArguments& in, const SelectiveScanGradients& grads) {
  using namespace selective;
  choose_kernel(in, "selective_scan_backward", [&]<class T, int L>() {
    Inputs<T> inputs(in);
    inputs.packs = inputs.packs && packs_fit<float>(grads.dlast_state.data, inputs.N);
    const Gradients<T> gradients{grads.dy.as<const T>(),
                                 grads.dlast_state.as<const float>(),
                                 grads.chunk_states.as<const float>(),
                                 grads.dx.as<T>(),
                                 grads.ddelta.as<T>(),
                                 grads.dstate.as<float>(),
                                 grads.sums_bc.as<float>(),
                                 grads.sums_a.as<float>(),
                                 grads.sums_d.as<float>()};
    selective_scan_backward_kernel<T, L><<<grid_of(in), kThreads, 0, cuda_stream()>>>(inputs, gradients);
  });
  VIGOR_CUDA_CHECK_LAUNCH("selective_scan_backward");
  visit_cuda_float(in.x.dtype, "selective_scan_backward", [&]<class T>() {
    add_channel_blocks_kernel<<<grid_size(2 * grads.db.numel(), 256), 256, 0, cuda_stream()>>>(
        grads.db.as<T>(), grads.dc.as<T>(), grads.sums_bc.as<const float>(),
        DeviceSequences(in.x, in.lengths, in.resets), grads.sums_bc.sizes[1], in.b.sizes[2]);
  });
  VIGOR_CUDA_CHECK_LAUNCH("selective_scan_backward");
  add_blocks_cuda(grads.da_log, grads.sums_a, 0);
  add_blocks_cuda(grads.dd, grads.sums_d, 0);
  add_blocks_cuda(grads.ddelta_bias, grads.sums_d, 1);
}

}  // namespace vigor
