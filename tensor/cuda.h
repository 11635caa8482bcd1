#pragma once
// The CUDA runtime as Vigor uses it: one GPU, one stream. Only files of the CUDA half (`*_cuda.cpp`, `*_cuda.cu`)
// include this header.
//
// All work of the library goes to one stream, in the order of the program. A tensor's memory may therefore be handed
// out again as soon as its last handle is gone: whoever gets it next can only write after the kernels that read it.
#include <cuda_runtime_api.h>

namespace vigor {

// The stream of every kernel and copy. Made on first use; throws std::runtime_error when there is no usable GPU.
cudaStream_t cuda_stream();

// Throws std::runtime_error: "cudaMalloc(&data, nbytes) at tensor/device_cuda.cpp:41: out of memory (cudaError 2)".
void check_cuda(cudaError_t status, const char* call, const char* file, int line);

// What a kernel launcher may rely on; read once.
struct CudaLimits {
  int multiprocessors;
  int shared_bytes_per_block;  // with opt-in: 99 KB on consumer GPUs, 163 on sm_80, 227 on sm_90
};
const CudaLimits& cuda_limits();

}  // namespace vigor

#define VIGOR_CUDA_CHECK(call) ::vigor::check_cuda((call), #call, __FILE__, __LINE__)
// After every <<<>>>: an impossible launch configuration is an error here and not a silent nothing.
#define VIGOR_CUDA_CHECK_LAUNCH(kernel) ::vigor::check_cuda(cudaGetLastError(), "launch of " kernel, __FILE__, __LINE__)
