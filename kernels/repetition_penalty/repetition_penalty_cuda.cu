#include "kernels/repetition_penalty/repetition_penalty_kernels.h"
#include "tensor/cuda_kernel.cuh"

namespace vigor {
namespace {

constexpr int kThreads = 256;

template <class T>
struct Penalty {
  T* y;                           // [B,V]
  const T* logits;                // [B,V]
  int64_t row_stride, stride;     // of logits
  const int32_t *seen, *lengths;  // [B,N], [B] or null
  int64_t B, V, N;
  float factor;
};

// One thread an id. Where an id comes twice, both threads write the same value.
template <class T>
__global__ void __launch_bounds__(kThreads) penalty_kernel(Penalty<T> p) {
  for (int64_t i = global_thread(); i < p.B * p.N; i += global_threads()) {
    const int64_t b = i / p.N, id = p.seen[i];
    if ((p.lengths != nullptr && i % p.N >= p.lengths[b]) || id < 0 || id >= p.V) continue;
    const float z = to_float(p.logits[b * p.row_stride + id * p.stride]);
    p.y[b * p.V + id] = from_float<T>(z > 0 ? z / p.factor : z * p.factor);
  }
}

}  // namespace

void repetition_penalty_cuda(const TensorView& y, const TensorView& logits, const TensorView& seen,
                             const TensorView& lengths, double penalty) {
  const int64_t B = y.sizes[0], V = y.sizes[1], N = seen.sizes[1];
  visit_cuda_float(y.dtype, "repetition_penalty", [&]<class T>() {
    const Penalty<T> p{y.as<T>(),
                       static_cast<const T*>(logits.data),
                       logits.strides[0],
                       logits.strides[1],
                       seen.as<int32_t>(),
                       lengths.data != nullptr ? lengths.as<int32_t>() : nullptr,
                       B,
                       V,
                       N,
                       static_cast<float>(penalty)};
    penalty_kernel<<<grid_size(B * N, kThreads), kThreads, 0, cuda_stream()>>>(p);
  });
  VIGOR_CUDA_CHECK_LAUNCH("repetition_penalty");
}

}  // namespace vigor
