// Kernels that the tests of the runtime's stand-in launch.
#include <cassert>
#include <cstdio>

#include "kernels.h"

namespace {

__constant__ float table[4] = {1, 2, 3, 4};
__device__ int counter = 5;

__global__ void add_kernel(const float* a, const float* b, float* sum, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) sum[i] = a[i] + b[i];
}

__global__ void scale_kernel(float* x, float factor, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= factor;
}

__global__ void add_from_constant_kernel(float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += table[i % 4];
}

__global__ void count_kernel(int n) {
  if (static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) < n) atomicAdd(&counter, 1);
}

__global__ void print_kernel() { printf("block %d of %d: %.2f %s\n", blockIdx.x, gridDim.x, 0.5 * blockIdx.x, "text"); }

__global__ void assert_kernel(int value) { assert(value == 0); }

__global__ void write_beyond_kernel(float* x, int index) { x[index] = 1; }

// Turns 32 values around by way of the far end of dynamic shared memory.
__global__ void shared_kernel_body(float* x, int offset) {
  extern __shared__ float buffer[];
  __shared__ float extra[32];
  extra[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  buffer[offset + threadIdx.x] = extra[31 - threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = buffer[offset + threadIdx.x];
}

__global__ void __launch_bounds__(128) bounded_kernel_body() {}

__global__ void nothing_kernel() {}

int blocks(int n) { return (n + 255) / 256; }

}  // namespace

void launch_add(const float* a, const float* b, float* sum, int n, cudaStream_t stream) {
  add_kernel<<<blocks(n), 256, 0, stream>>>(a, b, sum, n);
}
void launch_scale(float* x, float factor, int n, cudaStream_t stream) {
  scale_kernel<<<blocks(n), 256, 0, stream>>>(x, factor, n);
}
void launch_add_from_constant(float* x, int n, cudaStream_t stream) {
  add_from_constant_kernel<<<blocks(n), 256, 0, stream>>>(x, n);
}
void launch_count(int n, cudaStream_t stream) { count_kernel<<<blocks(n), 256, 0, stream>>>(n); }
void launch_print(int n) { print_kernel<<<n, 1>>>(); }
void launch_assert(int value) { assert_kernel<<<1, 32>>>(value); }
void launch_write_beyond(float* x, int index) { write_beyond_kernel<<<1, 1>>>(x, index); }
void launch_shared(float* x, size_t bytes, cudaStream_t stream) {
  shared_kernel_body<<<1, 32, bytes, stream>>>(x, static_cast<int>(bytes / sizeof(float)) - 32);
}
void launch_shape(dim3 grid, dim3 block) { nothing_kernel<<<grid, block>>>(); }

const void* shared_kernel() { return reinterpret_cast<const void*>(shared_kernel_body); }
const void* bounded_kernel() { return reinterpret_cast<const void*>(bounded_kernel_body); }
void launch_bounded(int threads) { bounded_kernel_body<<<1, threads>>>(); }

cudaError_t set_table(const float (&values)[4]) { return cudaMemcpyToSymbol(table, values, sizeof values); }
cudaError_t get_table(float (&values)[4]) { return cudaMemcpyFromSymbol(values, table, sizeof values); }
cudaError_t get_counter(int& value) { return cudaMemcpyFromSymbol(&value, counter, sizeof value); }
cudaError_t set_counter(int value) { return cudaMemcpyToSymbol(counter, &value, sizeof value); }
cudaError_t table_address(void** address, size_t* bytes) {
  const cudaError_t code = cudaGetSymbolSize(bytes, table);
  return code == cudaSuccess ? cudaGetSymbolAddress(address, table) : code;
}
cudaError_t launch_with_config(float* x, float factor, int n, const cudaLaunchConfig_t& config) {
  return cudaLaunchKernelEx(&config, scale_kernel, x, factor, n);
}
int occupancy_of_scale(int threads, size_t bytes) {
  int result = -1;
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&result, scale_kernel, threads, bytes);
  return result;
}
