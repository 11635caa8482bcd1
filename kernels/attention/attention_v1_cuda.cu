// Version 1, naive: one warp a row, nothing kept in shared memory, any head width up to 256. It is the definition that
// the faster versions are read against, and what runs where their tiles do not fit.
//
// A lane holds channels lane, lane + 32, .. of the row that its warp owns, so a warp reads a key as neighbouring
// elements; every dot product is summed over the warp. Softmax is computed as it is written: one pass over the keys for
// the maximum, a second one, with all scores computed again, for the weights.
//
// bytes: forward reads k twice and v once a *query* (3 P Tk a row, half of it when causal); backward reads k and v once
// a query and q and dy once a key. Only the caches, never the kernel, save traffic to memory.
#include "kernels/attention/attention_cuda.cuh"

namespace vigor::attention_cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
template <int kPerLane>
constexpr int kMinBlocks = kPerLane == 8   ? 2
                           : kPerLane == 4 ? 4
                                           : 8;  // leaves 255, 128 or 64 registers a thread

__device__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ unsigned global_warp() { return blockIdx.x * kWarps + threadIdx.x / kWarpSize; }

// A row of P channels, spread over the lanes of a warp.
template <int kPerLane>
struct Row {
  float value[kPerLane] = {};

  Row() = default;
  template <class T>
  __device__ Row(const T* from, int P) {
    for (int n = 0; n < kPerLane; ++n) {
      const int channel = lane_index() + n * kWarpSize;
      value[n] = channel < P ? to_float(from[channel]) : 0;
    }
  }
  template <class T>
  __device__ void store(T* to, int P, float factor) const {
    for (int n = 0; n < kPerLane; ++n) {
      const int channel = lane_index() + n * kWarpSize;
      if (channel < P) to[channel] = from_float<T>(factor * value[n]);
    }
  }
  __device__ void add(float factor, const Row& other) {
    for (int n = 0; n < kPerLane; ++n) value[n] += factor * other.value[n];
  }
};

template <int kPerLane>
__device__ float dot(const Row<kPerLane>& a, const Row<kPerLane>& b) {
  float sum = 0;
  for (int n = 0; n < kPerLane; ++n) sum += a.value[n] * b.value[n];
  return warp_sum(sum);
}

template <class T, int kPerLane>
__global__ void __launch_bounds__(kThreads, kMinBlocks<kPerLane>)
    attention_forward_v1(Inputs<T> in, unsigned rows, Heads<T> y, float* lse) {
  const unsigned row = global_warp();
  if (row >= rows) return;
  const Unit unit(row, in.Tq, in.Hq);
  const int b = unit.batch, h = unit.head, i = unit.tile;
  const T *k = in.k.head(b, h / in.group), *v = in.v.head(b, h / in.group);
  const int keys = Visible(in, b).of(i);
  const Row<kPerLane> q(in.q.row(b, h, i), in.P);
  const auto score = [&](int j) { return in.scale_log2 * dot(q, Row<kPerLane>(k + j * in.k.t_stride, in.P)); };

  float maximum = -INFINITY;
  for (int j = 0; j < keys; ++j) maximum = fmaxf(maximum, score(j));
  float sum = 0;
  Row<kPerLane> out;
  for (int j = 0; j < keys; ++j) {
    const float weight = exp2f(score(j) - maximum);
    sum += weight;
    out.add(weight, Row<kPerLane>(v + j * in.v.t_stride, in.P));
  }
  out.store(y.row(b, h, i), in.P, sum > 0 ? 1 / sum : 0);
  if (lane_index() == 0) lse[row] = keys > 0 ? kLn2 * (maximum + log2f(sum)) : -INFINITY;
}

template <class T, int kPerLane>
__global__ void __launch_bounds__(kThreads, kMinBlocks<kPerLane>)
    attention_dq_v1(Inputs<T> in, unsigned rows, Gradients<T> grads) {
  const unsigned row = global_warp();
  if (row >= rows) return;
  const Unit unit(row, in.Tq, in.Hq);
  const int b = unit.batch, h = unit.head, i = unit.tile;
  const T *k = in.k.head(b, h / in.group), *v = in.v.head(b, h / in.group);
  const int keys = Visible(in, b).of(i);
  const Row<kPerLane> q(in.q.row(b, h, i), in.P), dy(grads.dy.row(b, h, i), in.P);
  const RowTerms terms = grads.terms[row];

  Row<kPerLane> dq;
  for (int j = 0; j < keys; ++j) {
    const Row<kPerLane> key(k + j * in.k.t_stride, in.P);
    const float p = exp2f(in.scale_log2 * dot(q, key) - terms.x);
    const float dp = dot(dy, Row<kPerLane>(v + j * in.v.t_stride, in.P));
    dq.add(p * (dp - terms.y), key);
  }
  dq.store(grads.dq.row(b, h, i), in.P, in.scale);
}

template <class T, int kPerLane>
__global__ void __launch_bounds__(kThreads, kMinBlocks<kPerLane>)
    attention_dkv_v1(Inputs<T> in, unsigned rows, Gradients<T> grads) {
  const unsigned row = global_warp();
  if (row >= rows) return;
  const Unit unit(row, in.Tk, in.Hkv);
  const int b = unit.batch, j = unit.tile;
  const Visible visible(in, b);
  const Row<kPerLane> k(in.k.row(b, unit.head, j), in.P), v(in.v.row(b, unit.head, j), in.P);

  Row<kPerLane> dk, dv;
  const int first = j < visible.keys ? visible.first_query(j) : in.Tq;  // a key that does not exist is seen by none
  for (int h = unit.head * in.group; h < (unit.head + 1) * in.group; ++h)
    for (int i = first; i < in.Tq; ++i) {
      const Row<kPerLane> q(in.q.row(b, h, i), in.P), dy(grads.dy.row(b, h, i), in.P);
      const RowTerms terms = grads.terms[(int64_t{b} * in.Hq + h) * in.Tq + i];
      const float p = exp2f(in.scale_log2 * dot(q, k) - terms.x);
      dv.add(p, dy);
      dk.add(p * (dot(dy, v) - terms.y), q);
    }
  dk.store(grads.dk.row(b, unit.head, j), in.P, in.scale);
  dv.store(grads.dv.row(b, unit.head, j), in.P, 1);
}

unsigned blocks_for(unsigned rows) { return (rows + kWarps - 1) / kWarps; }

// Calls f.template operator()<N>() with N channels a lane.
template <class F>
void visit_per_lane(int P, F&& f) {
  if (P <= 32) return f.template operator()<1>();
  if (P <= 64) return f.template operator()<2>();
  if (P <= 128) return f.template operator()<4>();
  f.template operator()<8>();
}

}  // namespace

template <class T>
void forward_v1(const Inputs<T>& in, int B, const Heads<T>& y, float* lse) {
  const auto rows = static_cast<unsigned>(B * in.Hq * in.Tq);
  visit_per_lane(in.P, [&]<int N>() {
    attention_forward_v1<T, N><<<blocks_for(rows), kThreads, 0, cuda_stream()>>>(in, rows, y, lse);
  });
  VIGOR_CUDA_CHECK_LAUNCH("attention_forward_v1");
}

template <class T>
void backward_v1(const Inputs<T>& in, int B, const Gradients<T>& grads) {
  const auto queries = static_cast<unsigned>(B * in.Hq * in.Tq), keys = static_cast<unsigned>(B * in.Hkv * in.Tk);
  visit_per_lane(in.P, [&]<int N>() {
    attention_dq_v1<T, N><<<blocks_for(queries), kThreads, 0, cuda_stream()>>>(in, queries, grads);
    VIGOR_CUDA_CHECK_LAUNCH("attention_dq_v1");
    attention_dkv_v1<T, N><<<blocks_for(keys), kThreads, 0, cuda_stream()>>>(in, keys, grads);
  });
  VIGOR_CUDA_CHECK_LAUNCH("attention_dkv_v1");
}

template void forward_v1(const Inputs<float>&, int, const Heads<float>&, float*);
template void forward_v1(const Inputs<__nv_bfloat16>&, int, const Heads<__nv_bfloat16>&, float*);
template void backward_v1(const Inputs<float>&, int, const Gradients<float>&);
template void backward_v1(const Inputs<__nv_bfloat16>&, int, const Gradients<__nv_bfloat16>&);

}  // namespace vigor::attention_cuda
