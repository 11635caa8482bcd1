#pragma once
// What the forward and backward kernels share: a thread's channels, its weights and its window of inputs.
#include <cstdint>

#include "kernels/causal_conv1d/causal_conv1d_kernels.h"
#include "kernels/cuda_rows.cuh"
#include "kernels/sequence_cuda.cuh"

namespace vigor::conv {

inline constexpr int kRun = static_cast<int>(kConvRun);
inline constexpr int kBlockRuns = static_cast<int>(kConvBlockRuns);
inline constexpr int kThreads = kWarpSize * kBlockRuns;  // thread (lane, run): neighbouring channels are neighbours

inline constexpr int kBlocksPerSm = 2;  // asked for, so that ptxas does not spill registers to fit more

template <class T>
struct Inputs {
  DeviceSequences time;
  DeviceRows<const T> x;
  const void *weight, *bias;  // [C,K], [C] or null
  bool parameters_f32;        // else they are of the type T
  const T* state;             // [B,K-1,C] or null
  int64_t C;                  // fits an int: with 64-bit channels nvcc cuts stores of packs up
  unsigned runs, all_runs;    // of a sequence, of all
  int K;
  bool silu;

  explicit Inputs(const CausalConv1dInputs& in)
      : time(in.x, in.lengths, in.resets),
        x(in.x),
        weight(in.weight.data),
        bias(in.bias.data),
        parameters_f32(in.weight.dtype == Dtype::f32),
        state(in.state.as<T>()),
        C(in.x.sizes[2]),
        runs(static_cast<unsigned>(causal_conv1d_runs(time.steps))),
        all_runs(static_cast<unsigned>(time.batch) * runs),
        K(static_cast<int>(in.K)),
        silu(in.silu) {}

  __device__ float parameter(const void* from, int64_t i) const {
    return parameters_f32 ? static_cast<const float*>(from)[i] : to_float(static_cast<const T*>(from)[i]);
  }
};

// The weights of a thread's N channels. Taps is 4 or 8: the first Taps - K do not exist, and count as zero.
template <int N, int Taps>
struct Weights {
  float tap[Taps][N], bias[N];
  int first;  // Taps - K

  // All threads of the block take part: [C,K] is read in one piece, for the block's channels from `begin` on, and
  // transposed in shared memory.
  template <class T>
  __device__ Weights(const Inputs<T>& in, int begin) : first(Taps - in.K) {
    constexpr int kColumns = kWarpSize * N;
    __shared__ float staged[Taps + 1][kColumns];
    const int columns = static_cast<int>(min(in.C - begin, int64_t{kColumns}));
    const int thread = static_cast<int>(threadIdx.y * kWarpSize + threadIdx.x);
    for (int i = thread; i < columns * in.K; i += kThreads)
      staged[first + i % in.K][i / in.K] = in.parameter(in.weight, int64_t{begin} * in.K + i);
    for (int i = thread; i < columns; i += kThreads)
      staged[Taps][i] = in.bias != nullptr ? in.parameter(in.bias, begin + i) : 0;
    __syncthreads();
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int column = static_cast<int>(threadIdx.x) * N + j;
#pragma unroll
      for (int k = 0; k < Taps; ++k) tap[k][j] = k >= first && column < columns ? staged[k][column] : 0;
      bias[j] = column < columns ? staged[Taps][column] : 0;
    }
  }
};

// The last inputs u of N channels of one sequence; entry Taps - 1 is the newest. Inputs before 0 are those of the
// state. What a step does not see is zero.
template <class T, int N, int Taps>
struct Window {
  float u[Taps][N] = {};
  int reach = -1;  // how many inputs before the newest one its step sees: up to K - 1

  // Takes in input s.
  __device__ void push(const Inputs<T>& in, int64_t b, int64_t s, const Pack<T, N>& input) {
    reach = s >= 0 && in.time.is_reset(b, s) ? 0 : min(reach + 1, in.K - 1);
#pragma unroll
    for (int k = 0; k < Taps - 1; ++k) {
      const bool seen = k >= Taps - 1 - reach;
#pragma unroll
      for (int j = 0; j < N; ++j) u[k][j] = seen ? u[k + 1][j] : 0;
    }
#pragma unroll
    for (int j = 0; j < N; ++j) u[Taps - 1][j] = to_float(input.value[j]);
  }

  // The K - 1 inputs before step `t`.
  __device__ void fill(const Inputs<T>& in, int64_t b, int c, int64_t t) {
    for (int64_t s = t - (in.K - 1); s < t; ++s) {
      if (s >= 0) push(in, b, s, load_pack<N>(in.x.row(b, s) + c));
      else if (in.state != nullptr) push(in, b, s, load_pack<N>(in.state + (b * (in.K - 1) + s + in.K - 1) * in.C + c));
      else reach = min(reach + 1, in.K - 1);
    }
  }

  __device__ void convolve(float (&p)[N], const Weights<N, Taps>& w) const {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      p[j] = w.bias[j];
#pragma unroll
      for (int k = 0; k < Taps; ++k) p[j] = fmaf(w.tap[k][j], u[k][j], p[j]);
    }
  }
};

// Blocks of launch: x counts packs of channels, y groups of kBlockRuns runs.
inline dim3 grid(int64_t C, int packed, int64_t groups) {
  return dim3(static_cast<unsigned>(ceil_div(C, int64_t{packed} * kWarpSize)), static_cast<unsigned>(groups));
}

// True when every row of C elements in each of these contiguous views can be accessed in packs of N elements.
template <class T>
bool rows_fit(int packed, std::initializer_list<const TensorView*> views) {
  for (const TensorView* view : views)
    if (view->defined() && (reinterpret_cast<uintptr_t>(view->data) % (sizeof(T) * static_cast<size_t>(packed)) != 0 ||
                            view->sizes[2] % packed != 0))
      return false;
  return true;
}
// The same for x, whose rows may be apart.
template <class T>
bool inputs_fit(int packed, const CausalConv1dInputs& in) {
  return rows_fit<T>(packed, {&in.x, &in.state}) && in.x.strides[0] % packed == 0 && in.x.strides[1] % packed == 0;
}

// Calls launch.template operator()<N, Taps>(): packs of `Widest` elements where they fit.
template <int Widest, class F>
void choose(bool packs, int64_t K, F&& launch) {
  if (packs && K <= 4) launch.template operator()<Widest, 4>();
  else if (packs) launch.template operator()<Widest, 8>();
  else if (K <= 4) launch.template operator()<1, 4>();
  else launch.template operator()<1, 8>();
}

}  // namespace vigor::conv
