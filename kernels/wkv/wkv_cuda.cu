// WKV: a thread owns one channel of one sequence, so that the threads of a warp read neighbouring elements of a row.
// Time is sequential; what hides the latency of memory is that the loads of eight steps are issued together.
#include "kernels/block_sums_cuda.cuh"
#include "kernels/sequence_cuda.cuh"
#include "kernels/wkv/wkv_kernels.h"

namespace vigor {
namespace {

constexpr int kThreads = 64;  // few, to spread over many multiprocessors
constexpr int kGroup = 8;     // steps whose loads are in flight together
constexpr int kChunk = static_cast<int>(kWkvChunk);
static_assert(kChunk % kGroup == 0);

struct State {
  float a = 0, b = 0, p = -INFINITY;
};

// The three parts of a state are C apart.
__device__ State load_state(const float* from, int64_t C) { return {from[0], from[C], from[2 * C]}; }
__device__ void store_state(float* to, int64_t C, const State& s) {
  to[0] = s.a;
  to[C] = s.b;
  to[2 * C] = s.p;
}

// e^{x-m} and e^{y-m} with m = max(x, y): one of them is 1, so one exponential does. x may be -infinity.
struct Weights {
  float of_x, of_y, larger;
  bool x_is_larger;

  __device__ Weights(float x, float y) : x_is_larger(x >= y) {
    const float smaller = expf(-fabsf(x - y));
    of_x = x_is_larger ? 1.0f : smaller;
    of_y = x_is_larger ? smaller : 1.0f;
    larger = x_is_larger ? x : y;
  }
};

__device__ State updated(const State& s, const Weights& by, float v) {
  return {by.of_x * s.a + by.of_y * v, by.of_x * s.b + by.of_y, by.larger};
}

template <class T>
struct Inputs {
  DeviceSequences time;
  DeviceRows<const T> k, v;
  int64_t C;
  const float *time_decay, *time_first;

  explicit Inputs(const WkvInputs& in)
      : time(in.k, in.lengths, in.resets),
        k(in.k),
        v(in.v),
        C(in.k.sizes[2]),
        time_decay(in.time_decay.as<const float>()),
        time_first(in.time_first.as<const float>()) {}
};

// Loads k and v of steps t .. t+7, those before `end`.
template <class T>
__device__ void load_group(float (&k)[kGroup], float (&v)[kGroup], const Inputs<T>& in, int64_t b, int64_t c, int64_t t,
                           int64_t end) {
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    const bool real = t + i < end;
    k[i] = real ? to_float(in.k.row(b, t + i)[c]) : 0.0f;
    v[i] = real ? to_float(in.v.row(b, t + i)[c]) : 0.0f;
  }
}

// The sequence and channel of a thread; blocks of one sequence stand side by side.
struct Owned {
  int64_t b, c;
  bool exists;
};
template <class T>
__device__ Owned owned(const Inputs<T>& in) {
  const auto blocks = static_cast<unsigned>((in.C + kThreads - 1) / kThreads);
  const int64_t c = int64_t{blockIdx.x % blocks} * kThreads + threadIdx.x;
  return {blockIdx.x / blocks, c, c < in.C};
}

template <class T>
struct Outputs {
  T* y;
  const float* state;   // [B,3,C] or null: nothing seen
  float* last_state;    // [B,3,C]
  float* chunk_states;  // [B,chunks,3,C] or null
};

template <class T>
__global__ void __launch_bounds__(kThreads) wkv_forward_kernel(Inputs<T> in, Outputs<T> out) {
  const auto [b, c, exists] = owned(in);
  if (!exists) return;
  const int64_t C = in.C, steps = in.time.steps, length = in.time.length(b);
  const float w = -expf(in.time_decay[c]), u = in.time_first[c];
  State s;
  if (out.state != nullptr) s = load_state(out.state + b * 3 * C + c, C);
  T* y = out.y + b * steps * C + c;
  for (int64_t t0 = 0; t0 < length; t0 += kGroup) {
    float k[kGroup], v[kGroup];
    load_group(k, v, in, b, c, t0, length);
    if (out.chunk_states != nullptr && t0 % kChunk == 0)
      store_state(out.chunk_states + (b * ((steps + kChunk - 1) / kChunk) + t0 / kChunk) * 3 * C + c, C, s);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      if (t0 + i >= length) break;
      if (in.time.is_reset(b, t0 + i)) s = State();
      const Weights now(s.p, u + k[i]);
      y[(t0 + i) * C] = from_float<T>((now.of_x * s.a + now.of_y * v[i]) / (now.of_x * s.b + now.of_y));
      s = updated(s, Weights(s.p + w, k[i]), v[i]);
    }
  }
  for (int64_t t = length; t < steps; ++t) y[t * C] = from_float<T>(0);
  store_state(out.last_state + b * 3 * C + c, C, s);
}

template <class T>
struct Gradients {
  const T* dy;
  const float* dlast_state;   // [B,3,C] or null
  const float* chunk_states;  // [B,chunks,3,C]
  T *dk, *dv;
  float* dstate;  // [B,3,C] or null
  float* sums;    // [B,2,C]
};

// What flows back: the gradients of a and b at fixed p, and the part of p's that is not that of a scale (wkv.h); and
// the sums of the parameters.
struct Flow {
  float da = 0, db = 0, dr = 0, dw = 0, du = 0;
};

struct StepGradients {
  float dk, dv;
};

// One step against time; s is the state as the step saw it. At a reset its p is -infinity: the weights of the past are
// 0, and so is what flows back.
__device__ StepGradients backward_step(Flow& g, const State& s, float w, float u, float k, float v, float dy) {
  const Weights now(s.p, u + k), next(s.p + w, k);
  const float scale = 1 / (now.of_x * s.b + now.of_y);
  const float y = (now.of_x * s.a + now.of_y * v) * scale;
  dy *= scale;
  const float d_first = now.of_y * dy * (v - y);
  const StepGradients grads{d_first + next.of_y * (g.da * v + g.db) + (next.x_is_larger ? 0.0f : g.dr),
                            now.of_y * dy + next.of_y * g.da};
  g.du += d_first;
  g.dr = next.x_is_larger ? g.dr : 0.0f;
  g.dw += next.of_x * (s.a * g.da + s.b * g.db) + g.dr;
  g.da = next.of_x * g.da + now.of_x * dy;
  g.db = next.of_x * g.db - now.of_x * dy * y;
  return grads;
}

// Steps first .. first+count-1 once more from the chunk's state; before[i] becomes what step i saw. Returns the state
// behind.
template <class T>
__device__ State replay(State (&before)[kChunk][kThreads], State s, const Inputs<T>& in, int64_t b, int64_t c,
                        int64_t first, int count, float w) {
  for (int i0 = 0; i0 < count; i0 += kGroup) {
    float k[kGroup], v[kGroup];
    load_group(k, v, in, b, c, first + i0, first + count);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      if (i0 + i >= count) break;
      if (in.time.is_reset(b, first + i0 + i)) s = State();
      before[i0 + i][threadIdx.x] = s;
      s = updated(s, Weights(s.p + w, k[i]), v[i]);
    }
  }
  return s;
}

template <class T>
__global__ void __launch_bounds__(kThreads) wkv_backward_kernel(Inputs<T> in, Gradients<T> p) {
  __shared__ State before[kChunk][kThreads];
  const auto [b, c, exists] = owned(in);
  if (!exists) return;
  const int64_t C = in.C, steps = in.time.steps, length = in.time.length(b);
  const int64_t row = b * steps * C + c, all_chunks = (steps + kChunk - 1) / kChunk;
  const float w = -expf(in.time_decay[c]), u = in.time_first[c];
  Flow g;
  State dlast{0, 0, 0}, s{0, 0, 0};
  if (p.dlast_state != nullptr) dlast = load_state(p.dlast_state + b * 3 * C + c, C);
  g.da = dlast.a;
  g.db = dlast.b;
  const int64_t chunks = (length + kChunk - 1) / kChunk;
  for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
    const int64_t first = chunk * kChunk;
    const int count = static_cast<int>(min(length - first, int64_t{kChunk}));
    s = load_state(p.chunk_states + (b * all_chunks + chunk) * 3 * C + c, C);
    s = replay(before, s, in, b, c, first, count, w);
    if (chunk == chunks - 1) g.dr = dlast.p - (s.a * g.da + s.b * g.db);
    for (int i0 = (count - 1) / kGroup * kGroup; i0 >= 0; i0 -= kGroup) {
      float k[kGroup], v[kGroup], dy[kGroup];
      load_group(k, v, in, b, c, first + i0, first + count);
#pragma unroll
      for (int i = 0; i < kGroup; ++i) dy[i] = i0 + i < count ? to_float(p.dy[row + (first + i0 + i) * C]) : 0.0f;
#pragma unroll
      for (int i = kGroup - 1; i >= 0; --i) {
        if (i0 + i >= count) continue;
        const int64_t t = first + i0 + i;
        const StepGradients grads = backward_step(g, before[i0 + i][threadIdx.x], w, u, k[i], v[i], dy[i]);
        p.dk[row + t * C] = from_float<T>(grads.dk);
        p.dv[row + t * C] = from_float<T>(grads.dv);
      }
    }
    s = before[0][threadIdx.x];
  }
  for (int64_t t = length; t < steps; ++t) p.dk[row + t * C] = p.dv[row + t * C] = from_float<T>(0);
  p.sums[b * 2 * C + c] = w * g.dw;
  p.sums[(b * 2 + 1) * C + c] = g.du;
  if (p.dstate == nullptr) return;
  store_state(p.dstate + b * 3 * C + c, C, {g.da, g.db, length == 0 ? dlast.p : s.a * g.da + s.b * g.db + g.dr});
}

unsigned blocks_of(const WkvInputs& in) {
  return static_cast<unsigned>(in.k.sizes[0] * ceil_div(in.k.sizes[2], kThreads));
}

}  // namespace

void wkv_forward_cuda(const WkvInputs& in, const WkvOutputs& out) {
  visit_cuda_float(in.k.dtype, "wkv", [&]<class T>() {
    const Outputs<T> outputs{out.y.as<T>(), in.state.as<const float>(), out.last_state.as<float>(),
                             out.chunk_states.as<float>()};
    wkv_forward_kernel<T><<<blocks_of(in), kThreads, 0, cuda_stream()>>>(Inputs<T>(in), outputs);
  });
  VIGOR_CUDA_CHECK_LAUNCH("wkv");
}

void wkv_backward_cuda(const WkvInputs& in, const WkvGradients& grads) {
  visit_cuda_float(in.k.dtype, "wkv_backward", [&]<class T>() {
    const Gradients<T> gradients{grads.dy.as<const T>(),
                                 grads.dlast_state.as<const float>(),
                                 grads.chunk_states.as<const float>(),
                                 grads.dk.as<T>(),
                                 grads.dv.as<T>(),
                                 grads.dstate.as<float>(),
                                 grads.sums.as<float>()};
    wkv_backward_kernel<T><<<blocks_of(in), kThreads, 0, cuda_stream()>>>(Inputs<T>(in), gradients);
  });
  VIGOR_CUDA_CHECK_LAUNCH("wkv_backward");
  add_blocks_cuda(grads.dtime_decay, grads.sums, 0);
  add_blocks_cuda(grads.dtime_first, grads.sums, 1);
}

}  // namespace vigor
