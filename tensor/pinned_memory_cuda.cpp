#include "tensor/pinned_memory_cuda.h"

#include "tensor/cuda.h"

namespace vigor {

std::shared_ptr<void> pinned_memory(size_t nbytes) {
  void* data = nullptr;
  VIGOR_CUDA_CHECK(cudaMallocHost(&data, nbytes));
  return {data, [](void* memory) {
            if (cudaFreeHost(memory) != cudaSuccess) (void)cudaGetLastError();  // runs in destructors
          }};
}

void upload_pinned(const TensorView& y, const TensorView& x) {
  VIGOR_CUDA_CHECK(cudaMemcpyAsync(y.data, x.data, static_cast<size_t>(y.numel()) * size_of(y.dtype),
                                   cudaMemcpyHostToDevice, cuda_stream()));
}

CudaEvent::CudaEvent() {
  cudaEvent_t made = nullptr;
  VIGOR_CUDA_CHECK(cudaEventCreateWithFlags(&made, cudaEventDisableTiming));
  event_ = made;
}

CudaEvent::~CudaEvent() {
  if (cudaEventDestroy(static_cast<cudaEvent_t>(event_)) != cudaSuccess) (void)cudaGetLastError();
}

void CudaEvent::record() { VIGOR_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(event_), cuda_stream())); }
void CudaEvent::wait() { VIGOR_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(event_))); }

}  // namespace vigor
