#include "kernels/global_norm/global_norm_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 256;

template <class T>
__device__ double squared(T x) {
  const auto wide = static_cast<double>(to_float(x));  // 1e30 squared does not fit into a float
  return wide * wide;
}

// One block sums the squares of one stretch of kNormBlock elements. N elements an access; the last n % N one by one.
template <int N, class T>
__global__ void __launch_bounds__(kThreads) block_squares_kernel(double* sums, const T* x, int64_t n) {
  const int64_t begin = int64_t{blockIdx.x} * kNormBlock;
  const int64_t end = begin + kNormBlock < n ? begin + kNormBlock : n;
  const int64_t packs = (end - begin) / N;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < packs; i += kThreads) {
    const Pack<T, N> pack = load_pack<N>(x + begin + i * N);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += squared(pack.value[j]);
  }
  const int64_t rest = begin + packs * N + threadIdx.x;
  if (rest < end) sum += squared(x[rest]);
  __shared__ double shared[kThreads / kWarpSize];
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One block: each thread adds every kThreads-th sum, then the threads' sums are added in a fixed order.
__global__ void __launch_bounds__(kThreads)
    write_norm_kernel(StepState* state, const double* sums, int64_t n, double max_norm) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += sums[i];
  __shared__ double shared[kThreads / kWarpSize];
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) write_norm(*state, sum, max_norm);
}

}  // namespace

void block_squares_cuda(const TensorView& sums, const TensorView& x) {
  const int64_t n = x.numel();
  if (n == 0) return;
  visit_cuda_float(x.dtype, "global_norm", [&]<class T>() {
    constexpr int N = kPackElements<T>;
    const auto launch = [&](auto kernel) {
      kernel<<<static_cast<unsigned>(norm_blocks(n)), kThreads, 0, cuda_stream()>>>(sums.as<double>(), x.as<const T>(),
                                                                                    n);
    };
    if (packs_fit<T>(x.data, N)) launch(block_squares_kernel<N, T>);
    else launch(block_squares_kernel<1, T>);
  });
  VIGOR_CUDA_CHECK_LAUNCH("global_norm");
}

void write_norm_cuda(StepState* state, const TensorView& sums, double max_norm) {
  write_norm_kernel<<<1, kThreads, 0, cuda_stream()>>>(state, sums.as<double>(), sums.numel(), max_norm);
  VIGOR_CUDA_CHECK_LAUNCH("global_norm");
}

}  // namespace vigor
