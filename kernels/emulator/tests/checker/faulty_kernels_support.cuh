#pragma once
// What the faulty kernels need: device memory and one check of every call.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  std::printf("%s: %s\n", call, cudaGetErrorName(status));
  std::exit(3);
}
#define CHECK(call) check((call), #call)

inline std::vector<void*> allocations;
inline bool free_at_end = true;

inline float* unfilled(size_t count) {
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, count * sizeof(float)));
  allocations.push_back(memory);
  return static_cast<float*>(memory);
}
inline float* filled(size_t count) {  // with 0, 1, 2, ...
  std::vector<float> host(count);
  for (size_t i = 0; i < count; ++i) host[i] = static_cast<float>(i);
  float* memory = unfilled(count);
  CHECK(cudaMemcpy(memory, host.data(), count * sizeof(float), cudaMemcpyHostToDevice));
  return memory;
}
inline int* zeros(size_t count) {
  float* memory = unfilled(count);
  CHECK(cudaMemset(memory, 0, count * sizeof(float)));
  return reinterpret_cast<int*>(memory);
}
inline void free_all() {
  if (free_at_end) {
    for (void* memory : allocations) CHECK(cudaFree(memory));
  }
}

__device__ inline int global_thread() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }
