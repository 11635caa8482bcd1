#include "kernels/squared_relu/squared_relu_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 256;

__device__ float positive_part(float x) { return x < 0 ? 0.0f : x; }  // lets a NaN through

// One thread computes N neighbouring elements, 16 bytes, and goes on a whole grid further: a warp reads and writes 512
// neighbouring bytes at once. The last n % N elements are computed one by one.
template <int N, class T>
__global__ void __launch_bounds__(kThreads) forward_kernel(T* y, const T* x, int64_t n) {
  for (int64_t i = global_thread(); i < n / N; i += global_threads()) {
    const Pack<T, N> in = load_pack<N>(x + i * N);
    Pack<T, N> out;
    for (int j = 0; j < N; ++j) {
      const float positive = positive_part(to_float(in.value[j]));
      out.value[j] = from_float<T>(positive * positive);
    }
    store_pack<N>(y + i * N, out);
  }
  const int64_t rest = n / N * N + global_thread();
  if (rest < n) {
    const float positive = positive_part(to_float(x[rest]));
    y[rest] = from_float<T>(positive * positive);
  }
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads) backward_kernel(T* dx, const T* dy, const T* x, int64_t n) {
  for (int64_t i = global_thread(); i < n / N; i += global_threads()) {
    const Pack<T, N> in = load_pack<N>(x + i * N), up = load_pack<N>(dy + i * N);
    Pack<T, N> out;
    for (int j = 0; j < N; ++j)
      out.value[j] = from_float<T>(2.0f * positive_part(to_float(in.value[j])) * to_float(up.value[j]));
    store_pack<N>(dx + i * N, out);
  }
  const int64_t rest = n / N * N + global_thread();
  if (rest < n) dx[rest] = from_float<T>(2.0f * positive_part(to_float(x[rest])) * to_float(dy[rest]));
}

}  // namespace

void squared_relu_forward_cuda(const TensorView& y, const TensorView& x) {
  const int64_t n = x.numel();
  if (n == 0) return;
  visit_cuda_float(x.dtype, "squared_relu", [&]<class T>() {
    constexpr int N = kPackElements<T>;
    const bool packs = packs_fit<T>(x.data, N) && packs_fit<T>(y.data, N);
    const auto kernel = packs ? forward_kernel<N, T> : forward_kernel<1, T>;
    const unsigned blocks = grid_size(packs ? ceil_div(n, N) : n, kThreads);
    kernel<<<blocks, kThreads, 0, cuda_stream()>>>(y.as<T>(), x.as<T>(), n);
  });
  VIGOR_CUDA_CHECK_LAUNCH("squared_relu");
}

void squared_relu_backward_cuda(const TensorView& dx, const TensorView& dy, const TensorView& x) {
  const int64_t n = x.numel();
  if (n == 0) return;
  visit_cuda_float(x.dtype, "squared_relu_backward", [&]<class T>() {
    constexpr int N = kPackElements<T>;
    const bool packs = packs_fit<T>(x.data, N) && packs_fit<T>(dy.data, N) && packs_fit<T>(dx.data, N);
    const auto kernel = packs ? backward_kernel<N, T> : backward_kernel<1, T>;
    const unsigned blocks = grid_size(packs ? ceil_div(n, N) : n, kThreads);
    kernel<<<blocks, kThreads, 0, cuda_stream()>>>(dx.as<T>(), dy.as<T>(), x.as<T>(), n);
  });
  VIGOR_CUDA_CHECK_LAUNCH("squared_relu_backward");
}

}  // namespace vigor
