#pragma once
// y_i = f(a_i, b_i, ...) for every element, with inputs of any strides: what the element by element operations share.
//
// One thread computes one pack: 16 bytes of the widest operand, so that a warp reads and writes whole cache lines.
// Packs of a broadcast input are either packs too (a bias [C] beside [B,T,C] is read in packs, again in every row) or
// one number repeated. Where sizes, strides or addresses do not allow packs, a pack is one element.
#include <algorithm>
#include <utility>

#include "tensor/cuda_kernel.cuh"
#include "tensor/strided_loop.h"

namespace vigor {

// Packs of K operands; operand 0 is the result.
template <int K>
struct PackLoop {
  DeviceStrides<K> strides;  // a step along the last dimension is one pack
  int64_t packs;
  int64_t rest;     // elements after the last pack; only when there is a single row
  bool repeats[K];  // operand k has one number for all elements of a row
};

template <int N, class T>
__device__ Pack<T, N> read_pack(const T* x, bool repeats) {
  if (!repeats) return load_pack<N>(x);
  Pack<T, N> pack;
  for (int j = 0; j < N; ++j) pack.value[j] = *x;
  return pack;
}

template <int N, class F, class Y, class... X>
__device__ void map_pack(const F& f, Y* y, const Pack<X, N>&... x) {
  Pack<Y, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.value[j] = f(x.value[j]...);
  store_pack<N>(y, out);
}

// What one thread of map_kernel does. Is counts the inputs.
template <int N, size_t... Is, class F, class Y, class... X>
__device__ void map_thread(std::index_sequence<Is...>, const F& f, const PackLoop<1 + sizeof...(X)>& loop, Y* y,
                           const X*... x) {
  for (int64_t i = global_thread(); i < loop.packs; i += global_threads()) {
    int64_t at[1 + sizeof...(X)];
    loop.strides.offsets(i, at);
    map_pack<N>(f, y + at[0], read_pack<N>(x + at[1 + Is], loop.repeats[1 + Is])...);
  }
  if (const int64_t i = global_thread(); i < loop.rest) {
    const int64_t element = loop.packs * N + i;
    map_pack<1>(f, y + element, read_pack<1>(x + (loop.repeats[1 + Is] ? 0 : element), false)...);
  }
}

inline constexpr int kMapThreads = 256;

template <int N, class F, class Y, class... X>
__global__ void __launch_bounds__(kMapThreads) map_kernel(F f, PackLoop<1 + sizeof...(X)> loop, Y* y, const X*... x) {
  map_thread<N>(std::index_sequence_for<X...>(), f, loop, y, x...);
}

// Whether the loop can run in packs of n elements: along the last dimension every operand has neighbours or one number,
// and every pack begins at a multiple of its size.
template <int K>
bool runs_in_packs(const StridedLoop<K>& loop, const TensorView* const (&views)[K], int64_t n) {
  const int last = loop.sizes.rank() - 1;
  if (last > 0 && loop.sizes[last] % n != 0) return false;
  for (int k = 0; k < K; ++k) {
    if (loop.inner_stride(k) == 0 && k > 0) continue;
    if (loop.inner_stride(k) != 1) return false;
    const auto pack_bytes = static_cast<uintptr_t>(n) * size_of(views[k]->dtype);
    if (reinterpret_cast<uintptr_t>(views[k]->data) % pack_bytes != 0) return false;
    for (int dim = 0; dim < last; ++dim)
      if (loop.strides[static_cast<size_t>(k)][dim] % n != 0) return false;
  }
  return true;
}

template <int N, int K>
PackLoop<K> pack_loop(StridedLoop<K> loop) {
  const int last = loop.sizes.rank() - 1;
  const int64_t n = loop.sizes.numel();
  bool repeats[K];
  for (int k = 0; k < K; ++k) {
    repeats[k] = N > 1 && loop.inner_stride(k) == 0;
    loop.strides[static_cast<size_t>(k)][last] *= N;
  }
  const int64_t rest = loop.sizes[last] % N;
  loop.sizes[last] /= N;
  PackLoop<K> packs{DeviceStrides<K>(loop), n / N, rest, {}};
  std::copy(repeats, repeats + K, packs.repeats);
  return packs;
}

// Launches y = f(x...) with element types Y and X. All views have y's sizes; y may be one of x. `name` is that of the
// operation, for errors.
template <class Y, class... X, class F, class... Views>
void launch_map(const char* name, F f, const TensorView& y, const Views&... x) {
  static_assert(sizeof...(X) == sizeof...(Views));
  constexpr int K = 1 + sizeof...(X);
  constexpr int N = kPackBytes / static_cast<int>(std::max({sizeof(Y), sizeof(X)...}));
  if (y.numel() == 0) return;
  const StridedLoop<K> loop(y.sizes, {y.strides, x.strides...});
  const auto launch = [&]<int Elements>(std::integral_constant<int, Elements>) {
    const PackLoop<K> packs = pack_loop<Elements>(loop);
    map_kernel<Elements><<<grid_size(packs.packs + 1, kMapThreads), kMapThreads, 0, cuda_stream()>>>(
        f, packs, y.as<Y>(), static_cast<const X*>(x.data)...);
  };
  if (runs_in_packs<K>(loop, {&y, &x...}, N)) launch(std::integral_constant<int, N>());
  else launch(std::integral_constant<int, 1>());
  check_cuda(cudaGetLastError(), name, __FILE__, __LINE__);
}

// A function of floats as one of stored elements.
template <class T, class F>
struct InFloat {
  F f;
  template <class... X>
  __device__ T operator()(X... x) const {
    return from_float<T>(f(to_float(x)...));
  }
};

// The same, computed in float on elements of the type T.
template <class T, class F, class... Views>
void launch_float_map(const char* name, F f, const TensorView& y, const Views&... x) {
  [&]<size_t... Is>(std::index_sequence<Is...>) {
    const auto same = [](size_t) { return T(); };
    launch_map<T, decltype(same(Is))...>(name, InFloat<T, F>{f}, y, x...);
  }
  (std::index_sequence_for<Views...>());
}

}  // namespace vigor
