// Token shift: a thread owns N neighbouring channels (16 bytes, or one where packs do not fit) and a block of 16 steps
// of one sequence. It walks the steps with the token before (backward: and the gradient after) in registers, so that
// every element is loaded once, and those at the borders of blocks twice.
#include <algorithm>

#include "kernels/block_sums_cuda.cuh"
#include "kernels/cuda_rows.cuh"
#include "kernels/sequence_cuda.cuh"
#include "kernels/token_shift/token_shift_kernels.h"

namespace vigor {
namespace {

constexpr int kThreads = 128;

// What both directions read.
template <class T>
struct Inputs {
  DeviceSequences time;
  DeviceRows<const T> x;
  int64_t C;
  unsigned blocks, steps;  // blocks of `steps` steps in a sequence
  const float* mix;
  const float* state;  // [B,C] or null

  explicit Inputs(const TokenShiftInputs& in)
      : time(in.x, in.lengths, in.resets),
        x(in.x),
        C(in.x.sizes[2]),
        blocks(static_cast<unsigned>(token_shift_blocks(in.x.sizes[1], kCuda))),
        steps(static_cast<unsigned>(token_shift_steps(kCuda))),
        mix(in.mix.as<const float>()),
        state(in.state.as<const float>()) {}
};

// What one thread owns: channels c .. c+N-1 of steps begin .. end-1 of sequence b. The grid is blocks of steps by
// groups of columns.
struct Owned {
  int64_t b, block, begin, end, c, length;
  bool exists;
};
template <int N, class T>
__device__ Owned owned(const Inputs<T>& in) {
  const int64_t b = blockIdx.x / in.blocks, begin = int64_t{blockIdx.x % in.blocks} * in.steps;
  const int64_t c = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * N;
  return {b, blockIdx.x, begin, min(in.time.steps, begin + in.steps), c, in.time.length(b), c < in.C};
}

// x_{t-1} as step t sees it, where the thread does not hold it.
template <int N, class T>
__device__ void load_before(float (&before)[N], const Inputs<T>& in, int64_t b, int64_t t, int64_t c) {
  if (t > 0) return load_floats(before, in.x.row(b, t - 1) + c);
  if (in.state != nullptr) return load_floats(before, in.state + b * in.C + c);
#pragma unroll
  for (int j = 0; j < N; ++j) before[j] = 0;
}
template <int N>
__device__ void clear(float (&values)[N]) {
#pragma unroll
  for (int j = 0; j < N; ++j) values[j] = 0;
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads) token_shift_forward_kernel(Inputs<T> in, T* y, float* last_state) {
  const Owned at = owned<N>(in);
  if (!at.exists) return;
  float mix[N], before[N], x[N], out[N];
  load_floats(mix, in.mix + at.c);
  if (at.begin < at.length) load_before<N>(before, in, at.b, at.begin, at.c);
  for (int64_t t = at.begin; t < at.end; ++t) {
    clear(out);
    if (t < at.length) {
      load_floats(x, in.x.row(at.b, t) + at.c);
      if (in.time.is_reset(at.b, t)) clear(before);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        out[j] = mix[j] * x[j] + (1 - mix[j]) * before[j];
        before[j] = x[j];
      }
      if (t == at.length - 1) store_floats(last_state + at.b * in.C + at.c, x);
    }
    store_floats(y + (at.b * in.time.steps + t) * in.C + at.c, out);
  }
  if (at.length > 0 || at.begin > 0) return;
  load_before<N>(before, in, at.b, 0, at.c);  // the state goes on as it is
  store_floats(last_state + at.b * in.C + at.c, before);
}

template <class T>
struct Gradients {
  const T* dy;               // [B,T,C]
  const float* dlast_state;  // [B,C] or null
  T* dx;
  float* dstate;  // [B,C] or null
  float* sums;    // [B blocks,C]
};

template <int N, class T>
__device__ void backward_block(const Inputs<T>& in, const Gradients<T>& p, const Owned& at) {
  float mix[N], before[N], x[N], dy[N], dy_next[N], dmix[N], dx[N];
  load_floats(mix, in.mix + at.c);
  clear(dmix);
  const T* dy_row = p.dy + at.b * in.time.steps * in.C + at.c;
  if (at.begin < at.length) {
    load_before<N>(before, in, at.b, at.begin, at.c);
    load_floats(dy_next, dy_row + at.begin * in.C);
  }
#pragma unroll 1  // ptxas unrolls the walk over single elements by four, and spills then
  for (int64_t t = at.begin; t < at.end; ++t) {
    clear(dx);
    if (t < at.length) {
      load_floats(x, in.x.row(at.b, t) + at.c);
      if (in.time.is_reset(at.b, t)) clear(before);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        dy[j] = dy_next[j];
        dx[j] = mix[j] * dy[j];
        dmix[j] += dy[j] * (x[j] - before[j]);
        before[j] = x[j];
      }
      if (t + 1 < at.length) {
        load_floats(dy_next, dy_row + (t + 1) * in.C);
        const float handed_back = in.time.is_reset(at.b, t + 1) ? 0.0f : 1.0f;
#pragma unroll
        for (int j = 0; j < N; ++j) dx[j] += handed_back * (1 - mix[j]) * dy_next[j];
      } else if (p.dlast_state != nullptr) {
        float dlast[N];
        load_floats(dlast, p.dlast_state + at.b * in.C + at.c);
#pragma unroll
        for (int j = 0; j < N; ++j) dx[j] += dlast[j];
      }
    }
    store_floats(p.dx + (at.b * in.time.steps + t) * in.C + at.c, dx);
  }
  store_floats(p.sums + at.block * in.C + at.c, dmix);
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads) token_shift_backward_kernel(Inputs<T> in, Gradients<T> p) {
  const Owned at = owned<N>(in);
  if (!at.exists) return;
  backward_block<N>(in, p, at);
  if (p.dstate == nullptr || at.begin > 0) return;
  float dstate[N], mix[N];
  clear(dstate);
  if (at.length == 0) {
    if (p.dlast_state != nullptr) load_floats(dstate, p.dlast_state + at.b * in.C + at.c);
  } else if (!in.time.is_reset(at.b, 0)) {
    load_floats(mix, in.mix + at.c);
    load_floats(dstate, p.dy + at.b * in.time.steps * in.C + at.c);
#pragma unroll
    for (int j = 0; j < N; ++j) dstate[j] *= 1 - mix[j];
  }
  store_floats(p.dstate + at.b * in.C + at.c, dstate);
}

// Whether the [B,C] and [C] tensors of floats may be read in packs too; an undefined one may.
bool floats_fit(const TensorView& x, int64_t C) { return !x.defined() || packs_fit<float>(x.data, C); }

// launch.template operator()<N>(grid, threads)
template <class T, class Launch>
void choose_packs(const TokenShiftInputs& in, bool others_fit, Launch&& launch) {
  const int64_t C = in.x.sizes[2], blocks = in.x.sizes[0] * token_shift_blocks(in.x.sizes[1], kCuda);
  constexpr int N = kPackElements<T>;
  const bool packs = others_fit && row_packs_fit<T>(in.x) && floats_fit(in.mix, C) && floats_fit(in.state, C);
  const int64_t columns = packs ? C / N : C;
  const auto threads = static_cast<unsigned>(std::min<int64_t>(kThreads, ceil_div(columns, kWarpSize) * kWarpSize));
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(columns, threads)));
  if (packs) launch.template operator()<N>(grid, threads);
  else launch.template operator()<1>(grid, threads);
}

}  // namespace

void token_shift_forward_cuda(const TokenShiftInputs& in, const TensorView& y, const TensorView& last_state) {
  visit_cuda_float(in.x.dtype, "token_shift", [&]<class T>() {
    choose_packs<T>(in, true, [&]<int N>(dim3 grid, unsigned threads) {
      token_shift_forward_kernel<N, T>
          <<<grid, threads, 0, cuda_stream()>>>(Inputs<T>(in), y.as<T>(), last_state.as<float>());
    });
  });
  VIGOR_CUDA_CHECK_LAUNCH("token_shift");
}

void token_shift_backward_cuda(const TokenShiftInputs& in, const TokenShiftGradients& grads) {
  visit_cuda_float(in.x.dtype, "token_shift_backward", [&]<class T>() {
    const Gradients<T> p{grads.dy.as<const T>(), grads.dlast_state.as<const float>(), grads.dx.as<T>(),
                         grads.dstate.as<float>(), grads.sums.as<float>()};
    const int64_t C = in.x.sizes[2];
    choose_packs<T>(in, packs_fit<T>(grads.dy.data, C) && floats_fit(grads.dlast_state, C),
                    [&]<int N>(dim3 grid, unsigned threads) {
                      token_shift_backward_kernel<N, T><<<grid, threads, 0, cuda_stream()>>>(Inputs<T>(in), p);
                    });
  });
  VIGOR_CUDA_CHECK_LAUNCH("token_shift_backward");
  add_blocks_cuda(grads.dmix, grads.sums, 0);
}

}  // namespace vigor
