#pragma once
// What the forward and backward kernels of the selective scan share.
//
// L neighbouring lanes own a channel, four states each, in registers, so a block of 128 threads owns 128/L channels of
// one sequence and walks time in chunks of 16 steps. Of each chunk it holds the step sizes, x, B and C in shared
// memory: the softplus of a step size is computed once for all states of its channel, and global memory is read row by
// row. What does not exist (channels behind E, states behind N, steps behind the last) has size, x, B and C zero: its
// states stay as they are.
#include "kernels/elementwise/elementwise_rows.cuh"
#include "kernels/selective_scan/selective_scan_kernels.h"
#include "kernels/sequence_cuda.cuh"

namespace vigor::selective {

inline constexpr int kThreads = static_cast<int>(kSelectiveCudaThreads);
inline constexpr int kSteps = static_cast<int>(kSelectiveChunk);
inline constexpr int kOwn = 4;  // states of a thread
inline constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

template <class T>
struct Inputs {
  DeviceSequences time;
  DeviceRows<const T> x, delta, b, c;
  int64_t E;
  unsigned blocks;  // of channels
  int N;
  bool packs;  // four states of a channel may be accessed at once
  const float *a_log, *d, *delta_bias;

  explicit Inputs(const SelectiveScanArguments& in)
      : time(in.x, in.lengths, in.resets),
        x(in.x),
        delta(in.delta),
        b(in.b),
        c(in.c),
        E(in.x.sizes[2]),
        blocks(static_cast<unsigned>(selective_scan_blocks(E, in.b.sizes[2], kCuda))),
        N(static_cast<int>(in.b.sizes[2])),
        packs(N % kOwn == 0 && packs_fit<float>(in.a_log.data, N) && packs_fit<float>(in.state.data, N)),
        a_log(in.a_log.as<const float>()),
        d(in.d.as<const float>()),
        delta_bias(in.delta_bias.as<const float>()) {}
};

// Who a thread is.
template <int L>
struct Place {
  static constexpr int kChannels = kThreads / L;

  int64_t sequence, first_channel, e;  // e: the thread's channel
  int channel, lane, n;                // its number in the block, the thread's among the channel's, and its first state
  bool exists;                         // the channel does

  template <class T>
  __device__ explicit Place(const Inputs<T>& in)
      : sequence(blockIdx.x / in.blocks),
        first_channel(int64_t{blockIdx.x % in.blocks} * kChannels),
        channel(static_cast<int>(threadIdx.x) / L),
        lane(static_cast<int>(threadIdx.x) % L),
        n(lane * kOwn) {
    e = first_channel + channel;
    exists = e < in.E;
  }
  // Of the thread's first state in [B,E,N]; `of` is the sequence, or the sequence and chunk.
  template <class T>
  __device__ int64_t state(const Inputs<T>& in, int64_t of) const {
    return (of * in.E + e) * in.N + n;
  }
};

// The thread's states in a row of [..,N]; zeros where there are none.
template <int L, class T>
__device__ void load_states(float (&to)[kOwn], const float* from, const Inputs<T>& in, const Place<L>& place) {
#pragma unroll
  for (int j = 0; j < kOwn; ++j) to[j] = 0;
  if (from == nullptr || !place.exists) return;
  if (in.packs && place.n < in.N) {
    const auto pack = load_pack<kOwn>(from);
#pragma unroll
    for (int j = 0; j < kOwn; ++j) to[j] = pack.value[j];
  } else {
#pragma unroll
    for (int j = 0; j < kOwn; ++j)
      if (place.n + j < in.N) to[j] = from[j];
  }
}
template <int L, class T>
__device__ void store_states(float* to, const float (&from)[kOwn], const Inputs<T>& in, const Place<L>& place) {
  if (!place.exists) return;
  if (in.packs && place.n < in.N) {
    store_pack<kOwn>(to, Pack<float, kOwn>{from[0], from[1], from[2], from[3]});
  } else {
#pragma unroll
    for (int j = 0; j < kOwn; ++j)
      if (place.n + j < in.N) to[j] = from[j];
  }
}

// A log2(e) of the thread's states, so that a decay is one exp2: 2^(s a2) = e^(s A).
template <int L, class T>
__device__ void load_a2(float (&a2)[kOwn], const Inputs<T>& in, const Place<L>& place) {
  load_states<L>(a2, in.a_log + place.state(in, 0), in, place);
#pragma unroll
  for (int j = 0; j < kOwn; ++j) a2[j] = place.exists && place.n + j < in.N ? -expf(a2[j]) * kLog2E : 0.0f;
}

// The steps first .. first+steps-1 of a block's channels.
template <int L>
struct Chunk {
  static constexpr int kChannels = Place<L>::kChannels, kStates = L * kOwn;

  float x[kSteps][kChannels], size[kSteps][kChannels];
  alignas(kPackBytes) float b[kSteps][kStates], c[kSteps][kStates];
  bool reset[kSteps];

  // f(step of the chunk, channel of the block): for every element [steps,channels] of it, shared out among the threads.
  template <class F>
  __device__ static void for_each_element(int steps, F&& f) {
    for (int i = static_cast<int>(threadIdx.x); i < steps * kChannels; i += kThreads) f(i / kChannels, i % kChannels);
  }

  // The bias of the one channel whose elements this thread loads.
  template <class T>
  __device__ static float loaded_bias(const Inputs<T>& in, const Place<L>& place) {
    static_assert(kThreads % kChannels == 0);
    const int64_t e = place.first_channel + threadIdx.x % kChannels;
    return e < in.E ? in.delta_bias[e] : 0.0f;
  }

  template <class T>
  __device__ void load(const Inputs<T>& in, const Place<L>& place, int64_t first, int steps, float bias) {
    for_each_element(kSteps, [&](int i, int channel) {
      const int64_t e = place.first_channel + channel;
      const bool real = i < steps && e < in.E;
      x[i][channel] = real ? to_float(in.x.row(place.sequence, first + i)[e]) : 0.0f;
      size[i][channel] = real ? device::softplus(to_float(in.delta.row(place.sequence, first + i)[e]) + bias) : 0.0f;
    });
    for (int k = static_cast<int>(threadIdx.x); k < kSteps * kStates; k += kThreads) {
      const int i = k / kStates, n = k % kStates;
      const bool real = i < steps && n < in.N;
      b[i][n] = real ? to_float(in.b.row(place.sequence, first + i)[n]) : 0.0f;
      c[i][n] = real ? to_float(in.c.row(place.sequence, first + i)[n]) : 0.0f;
    }
    if (threadIdx.x < kSteps)
      reset[threadIdx.x] =
          static_cast<int>(threadIdx.x) < steps && in.time.is_reset(place.sequence, first + threadIdx.x);
  }
};

// The sum over the lanes of a channel, in all of them.
template <int L>
__device__ float channel_sum(float x) {
#pragma unroll
  for (int offset = L / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kFullWarp, x, offset);
  return x;
}

// Zeros in the steps of padding of the block's channels, for a tensor [B,T,E].
template <int L, class T>
__device__ void clear_padding(T* y, const Inputs<T>& in, const Place<L>& place, int64_t length) {
  for (int64_t t = length; t < in.time.steps; ++t) {
    const int64_t e = place.first_channel + threadIdx.x;
    if (threadIdx.x < Place<L>::kChannels && e < in.E)
      y[(place.sequence * in.time.steps + t) * in.E + e] = from_float<T>(0);
  }
}

// Calls f.template operator()<T, L>().
template <class F>
void choose_kernel(const SelectiveScanArguments& in, const char* op, F&& f) {
  visit_cuda_float(in.x.dtype, op, [&]<class T>() {
    if (selective_scan_lanes(in.b.sizes[2]) == 4) f.template operator()<T, 4>();
    else f.template operator()<T, 16>();
  });
}
inline unsigned grid_of(const SelectiveScanArguments& in) {
  return static_cast<unsigned>(in.x.sizes[0] * selective_scan_blocks(in.x.sizes[2], in.b.sizes[2], kCuda));
}

}  // namespace vigor::selective
