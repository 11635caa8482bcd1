#include "kernels/dropout/dropout_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 256;
constexpr int kWords = 4;  // of one Philox block

// One thread computes N neighbouring elements: one Philox block for 16 bytes of float, two for bf16. The mask is made
// in registers and never stored. What is left over, or everything when N is 1, is computed one by one.
template <int N, class T>
__global__ void __launch_bounds__(kThreads) dropout_kernel(T* y, const T* x, int64_t n, uint32_t threshold, float scale,
                                                           RandomKey key, const StepState* state) {
  if (state != nullptr) key.step = static_cast<uint32_t>(state->step);
  constexpr int kBlocks = N / kWords;  // Philox blocks of a pack
  const int64_t packs = kBlocks > 0 ? n / N : 0;
  for (int64_t i = global_thread(); i < packs; i += global_threads()) {
    const Pack<T, N> in = load_pack<N>(x + i * N);
    Pack<T, N> out;
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      const PhiloxWords words = random_block(key, static_cast<uint64_t>(i * kBlocks + block));
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        const int j = block * kWords + w;
        out.value[j] = from_float<T>(words.word[w] >= threshold ? to_float(in.value[j]) * scale : 0.0f);
      }
    }
    store_pack<N>(y + i * N, out);
  }
  for (int64_t i = packs * N + global_thread(); i < n; i += global_threads()) {
    const bool keep = random_bits(key, static_cast<uint64_t>(i)) >= threshold;
    y[i] = from_float<T>(keep ? to_float(x[i]) * scale : 0.0f);
  }
}

}  // namespace

void dropout_cuda(const TensorView& y, const TensorView& x, double p, const RandomKey& key, const StepState* state) {
  const int64_t n = x.numel();
  if (n == 0) return;
  visit_cuda_float(x.dtype, "dropout", [&]<class T>() {
    constexpr int N = kPackElements<T>;
    const bool packs = packs_fit<T>(x.data, N) && packs_fit<T>(y.data, N);
    const auto kernel = packs ? dropout_kernel<N, T> : dropout_kernel<1, T>;
    const unsigned blocks = grid_size(packs ? ceil_div(n, N) : n, kThreads);
    kernel<<<blocks, kThreads, 0, cuda_stream()>>>(y.as<T>(), x.as<T>(), n, dropout_threshold(p),
                                                   static_cast<float>(1 / (1 - p)), key, state);
  });
  VIGOR_CUDA_CHECK_LAUNCH("dropout");
}

}  // namespace vigor
