#pragma once
// Launchers of the kernels in kernels.cu and more_kernels.cu, for tests that a host compiler builds.
#include <cuda_runtime_api.h>

void launch_add(const float* a, const float* b, float* sum, int n, cudaStream_t stream = nullptr);
void launch_scale(float* x, float factor, int n, cudaStream_t stream = nullptr);
void launch_add_from_constant(float* x, int n, cudaStream_t stream = nullptr);  // x[i] += table[i % 4]
void launch_count(int n, cudaStream_t stream = nullptr);                        // counter += n
void launch_print(int blocks);
void launch_assert(int value);                  // asserts value == 0
void launch_write_beyond(float* x, int index);  // x[index] = 1
void launch_shared(float* x, size_t dynamic_bytes, cudaStream_t stream = nullptr);
void launch_shape(dim3 grid, dim3 block);

const void* shared_kernel();
const void* bounded_kernel();  // __launch_bounds__(128)
void launch_bounded(int threads);

cudaError_t set_table(const float (&values)[4]);
cudaError_t get_table(float (&values)[4]);
cudaError_t get_counter(int& value);
cudaError_t set_counter(int value);
cudaError_t table_address(void** address, size_t* bytes);
cudaError_t launch_with_config(float* x, float factor, int n, const cudaLaunchConfig_t& config);
int occupancy_of_scale(int threads, size_t dynamic_bytes);

// more_kernels.cu: a second source file, with a variable of the same name
void launch_negate(float* x, int n, cudaStream_t stream = nullptr);
cudaError_t set_other_table(float value);
cudaError_t get_other_table(float& value);
