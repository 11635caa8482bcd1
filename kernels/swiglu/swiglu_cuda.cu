// SwiGLU: a thread computes one pack, as in kernels/map_cuda.cuh, which does all of forward.
#include "kernels/map_cuda.cuh"
#include "kernels/swiglu/silu_cuda.cuh"
#include "kernels/swiglu/swiglu_kernels.h"

namespace vigor {
namespace {

struct Forward {
  float multiplier;
  __device__ float operator()(float gate, float up) const {
    const float a = gate * multiplier;
    return a * sigmoid_of(a) * up;
  }
};

template <class T>
struct Backward {
  T *dgate, *dup;  // or null
  const T *dy, *gate, *up;
  float multiplier;
};

// Both gradients from one read; `at` are the offsets of the five arrays.
template <int N, class T>
__device__ void backward_pack(const Backward<T>& p, const int64_t (&at)[5]) {
  const Pack<T, N> dy = load_pack<N>(p.dy + at[2]), gate = load_pack<N>(p.gate + at[3]),
                   up = load_pack<N>(p.up + at[4]);
  Pack<T, N> dgate, dup;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float a = to_float(gate.value[j]) * p.multiplier, s = sigmoid_of(a), g = to_float(dy.value[j]);
    dgate.value[j] = from_float<T>(p.multiplier * silu_slope(a, s) * to_float(up.value[j]) * g);
    dup.value[j] = from_float<T>(a * s * g);
  }
  if (p.dgate != nullptr) store_pack<N>(p.dgate + at[0], dgate);
  if (p.dup != nullptr) store_pack<N>(p.dup + at[1], dup);
}

template <int N, class T>
__global__ void __launch_bounds__(kMapThreads) backward_kernel(PackLoop<5> loop, Backward<T> p) {
  for (int64_t i = global_thread(); i < loop.packs; i += global_threads()) {
    int64_t at[5];
    loop.strides.offsets(i, at);
    backward_pack<N>(p, at);
  }
  if (const int64_t i = global_thread(); i < loop.rest) {
    const int64_t element = loop.packs * N + i;
    backward_pack<1>(p, {element, element, element, element, element});
  }
}

}  // namespace

void swiglu_forward_cuda(const TensorView& y, const TensorView& gate, const TensorView& up, double gate_multiplier) {
  visit_cuda_float(y.dtype, "swiglu", [&]<class T>() {
    launch_float_map<T>("swiglu", Forward{static_cast<float>(gate_multiplier)}, y, gate, up);
  });
}

void swiglu_backward_cuda(const TensorView& dgate, const TensorView& dup, const TensorView& dy, const TensorView& gate,
                          const TensorView& up, double gate_multiplier) {
  if (dy.numel() == 0) return;
  // A gradient that is not wanted walks along with the other.
  const TensorView& to_gate = dgate.defined() ? dgate : dup;
  const TensorView& to_up = dup.defined() ? dup : dgate;
  const StridedLoop<5> loop(dy.sizes, {to_gate.strides, to_up.strides, dy.strides, gate.strides, up.strides});
  visit_cuda_float(dy.dtype, "swiglu_backward", [&]<class T>() {
    const Backward<T> p{static_cast<T*>(dgate.data),    static_cast<T*>(dup.data),
                        static_cast<const T*>(dy.data), static_cast<const T*>(gate.data),
                        static_cast<const T*>(up.data), static_cast<float>(gate_multiplier)};
    const auto launch = [&]<int N>() {
      const PackLoop<5> packs = pack_loop<N>(loop);
      backward_kernel<N><<<grid_size(packs.packs + 1, kMapThreads), kMapThreads, 0, cuda_stream()>>>(packs, p);
    };
    if (runs_in_packs<5>(loop, {&to_gate, &to_up, &dy, &gate, &up}, kPackElements<T>))
      launch.template operator()<kPackElements<T>>();
    else launch.template operator()<1>();
  });
  VIGOR_CUDA_CHECK_LAUNCH("swiglu_backward");
}

}  // namespace vigor
