// A second source file with device code: its own module, its own `table`.
#include "kernels.h"

namespace {

__device__ float table = 9;

__global__ void negate_kernel(float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = -x[i];
}

}  // namespace

void launch_negate(float* x, int n, cudaStream_t stream) { negate_kernel<<<(n + 127) / 128, 128, 0, stream>>>(x, n); }
cudaError_t set_other_table(float value) { return cudaMemcpyToSymbol(table, &value, sizeof value); }
cudaError_t get_other_table(float& value) { return cudaMemcpyFromSymbol(&value, table, sizeof value); }
