// SwiGLU: a thread computes one 16-byte pack of a row, and goes on a whole grid further until all is done. Where rows
// cannot be read in packs, a pack is one element.
#include "kernels/swiglu/silu_cuda.cuh"
#include "kernels/swiglu/swiglu_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 256;

// The packs of [rows,C] that threads share out.
struct Packs {
  int64_t count, each_row;
  Divisor by_each_row;

  Packs(const TensorView& x, int pack) : count(x.numel() / pack), each_row(x.sizes[1] / pack) {
    if (each_row > 1) by_each_row = Divisor(each_row);
  }
  __device__ int64_t row(int64_t i) const { return each_row > 1 ? by_each_row.quotient(i) : i; }
};

// Rows of an operand.
template <class T>
struct Rows {
  T* data;
  int64_t stride;

  explicit Rows(const TensorView& x) : data(static_cast<T*>(x.data)), stride(x.defined() ? x.strides[0] : 0) {}
  bool fits() const {
    return data == nullptr || (packs_fit<T>(data, kPackElements<T>) && stride % kPackElements<T> == 0);
  }
};

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(Packs packs, Rows<T> y, Rows<const T> gate, Rows<const T> up, float multiplier) {
  for (int64_t i = global_thread(); i < packs.count; i += global_threads()) {
    const int64_t row = packs.row(i), column = (i - row * packs.each_row) * N;
    const Pack<T, N> g = load_pack<N>(gate.data + row * gate.stride + column);
    const Pack<T, N> u = load_pack<N>(up.data + row * up.stride + column);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float a = to_float(g.value[j]) * multiplier;
      out.value[j] = from_float<T>(a * sigmoid_of(a) * to_float(u.value[j]));
    }
    store_pack<N>(y.data + row * y.stride + column, out);
  }
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads) backward_kernel(Packs packs, Rows<T> dgate, Rows<T> dup, Rows<const T> dy,
                                                            Rows<const T> gate, Rows<const T> up, float multiplier) {
  for (int64_t i = global_thread(); i < packs.count; i += global_threads()) {
    const int64_t row = packs.row(i), column = (i - row * packs.each_row) * N;
    const Pack<T, N> d = load_pack<N>(dy.data + row * dy.stride + column);
    const Pack<T, N> g = load_pack<N>(gate.data + row * gate.stride + column);
    const Pack<T, N> u = load_pack<N>(up.data + row * up.stride + column);
    Pack<T, N> to_gate, to_up;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float a = to_float(g.value[j]) * multiplier, s = sigmoid_of(a), dy_j = to_float(d.value[j]);
      to_gate.value[j] = from_float<T>(multiplier * silu_slope(a, s) * to_float(u.value[j]) * dy_j);
      to_up.value[j] = from_float<T>(a * s * dy_j);
    }
    if (dgate.data != nullptr) store_pack<N>(dgate.data + row * dgate.stride + column, to_gate);
    if (dup.data != nullptr) store_pack<N>(dup.data + row * dup.stride + column, to_up);
  }
}

// Calls launch.template operator()<N>(packs, blocks), N the elements of a pack, for [rows,C] like `x`.
template <class T, class F>
void launch_packs(const TensorView& x, bool rows_fit, F&& launch) {
  const auto launch_with = [&]<int N>() {
    const Packs packs(x, N);
    launch.template operator()<N>(packs, grid_size(packs.count, kThreads));
  };
  if (rows_fit && x.sizes[1] % kPackElements<T> == 0) launch_with.template operator()<kPackElements<T>>();
  else launch_with.template operator()<1>();
}

}  // namespace

void swiglu_forward_cuda(const TensorView& y, const TensorView& gate, const TensorView& up, double gate_multiplier) {
  if (y.numel() == 0) return;
  visit_cuda_float(y.dtype, "swiglu", [&]<class T>() {
    const Rows<T> to(y);
    const Rows<const T> g(gate), u(up);
    launch_packs<T>(y, to.fits() && g.fits() && u.fits(), [&]<int N>(const Packs& packs, unsigned blocks) {
      forward_kernel<N><<<blocks, kThreads, 0, cuda_stream()>>>(packs, to, g, u, static_cast<float>(gate_multiplier));
    });
  });
  VIGOR_CUDA_CHECK_LAUNCH("swiglu");
}

void swiglu_backward_cuda(const TensorView& dgate, const TensorView& dup, const TensorView& dy, const TensorView& gate,
                          const TensorView& up, double gate_multiplier) {
  if (dy.numel() == 0) return;
  visit_cuda_float(dy.dtype, "swiglu_backward", [&]<class T>() {
    const Rows<T> to_gate(dgate), to_up(dup);
    const Rows<const T> d(dy), g(gate), u(up);
    const bool fit = to_gate.fits() && to_up.fits() && d.fits() && g.fits() && u.fits();
    launch_packs<T>(dy, fit, [&]<int N>(const Packs& packs, unsigned blocks) {
      backward_kernel<N>
          <<<blocks, kThreads, 0, cuda_stream()>>>(packs, to_gate, to_up, d, g, u, static_cast<float>(gate_multiplier));
    });
  });
  VIGOR_CUDA_CHECK_LAUNCH("swiglu_backward");
}

}  // namespace vigor
