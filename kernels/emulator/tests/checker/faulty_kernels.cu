// Small kernels, each with one fault that the checker must find, and some that look suspicious but are right.
//   faulty_kernels CASE      runs one; 0: no CUDA call failed, 3: one failed, which is printed
// checker_cuda_test runs this on the emulated device and compares the reports. The line that a report must name ends
// with "// fault: CASE", the line of the other party with "// other: CASE".
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <string>

#include "kernels/emulator/tests/checker/faulty_kernels_support.cuh"

// ---- out of bounds ----

__global__ void global_write_past_end(float* y, int n) {
  const int i = global_thread();
  if (i <= n) y[i] = 1;  // fault: global_write_past_end
}

__global__ void global_read_before_begin(float* y, const float* x, int n) {
  const int i = global_thread();
  if (i < n) y[i] = x[i - 1];  // fault: global_read_before_begin
}

__global__ void read_freed(float* y, const float* x) {
  y[threadIdx.x] = x[threadIdx.x];  // fault: read_freed
}

__global__ void null_pointer(float* y) {
  y[threadIdx.x] = 1;  // fault: null_pointer
}

__global__ void shared_past_end(float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x * 2 + 1] = 1;  // fault: shared_past_end
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

__global__ void local_past_end(float* y, int n) {
  float stack[8];
  for (int i = 0; i < n; ++i) stack[i] = static_cast<float>(i);  // fault: local_past_end
  y[threadIdx.x] = stack[n - 1 - threadIdx.x % n];
}

// ---- misaligned ----

__global__ void global_misaligned(float* y, const float* x) {
  reinterpret_cast<float4*>(y)[threadIdx.x] = *reinterpret_cast<const float4*>(x + 1);  // fault: global_misaligned
}

__global__ void shared_misaligned(float* y) {
  __shared__ __align__(16) float tile[64];
  tile[threadIdx.x] = tile[threadIdx.x + 32] = 0;
  __syncthreads();
  const float2 pair = *reinterpret_cast<float2*>(tile + threadIdx.x);  // fault: shared_misaligned
  y[threadIdx.x] = pair.x + pair.y;
}

// ---- uninitialised ----

__global__ void global_uninitialised(float* y, const float* x) {
  y[threadIdx.x] = x[threadIdx.x] + 1;  // fault: global_uninitialised
}

__global__ void shared_uninitialised(float* y) {
  __shared__ float tile[64];
  if (threadIdx.x > 0) tile[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];  // fault: shared_uninitialised
}

__global__ void local_uninitialised(float* y, int n) {
  float stack[16];
  for (int i = 0; i < n; ++i) stack[i] = y[i];
  y[threadIdx.x] = stack[(threadIdx.x + n) % 16];  // fault: local_uninitialised
}

// ---- races in a block ----

__global__ void missing_barrier(float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = y[threadIdx.x];       // other: missing_barrier
  y[threadIdx.x] = tile[63 - threadIdx.x];  // fault: missing_barrier
}

// The second barrier of a loop: the next tile overwrites this one while others still read it.
__global__ void missing_second_barrier(float* y, const float* x) {
  __shared__ float tile[64];
  float sum = 0;
  for (int step = 0; step < 4; ++step) {
    tile[threadIdx.x] = x[step * 64 + threadIdx.x];  // fault: missing_second_barrier
    __syncthreads();
    for (int i = 0; i < 64; ++i) sum += tile[i];  // other: missing_second_barrier
  }
  y[threadIdx.x] = sum;
}

__global__ void missing_syncwarp(float* y) {
  __shared__ float tile[32];
  tile[threadIdx.x] = y[threadIdx.x];       // other: missing_syncwarp
  y[threadIdx.x] = tile[31 - threadIdx.x];  // fault: missing_syncwarp
}

__global__ void different_values(float* y) {
  __shared__ int winner;
  winner = threadIdx.x;  // fault: different_values
  __syncthreads();
  y[threadIdx.x] = static_cast<float>(winner);
}

__global__ void global_race_in_block(float* y) {
  y[threadIdx.x] = 1;               // other: global_race_in_block
  if (threadIdx.x == 63) y[0] = 2;  // fault: global_race_in_block
}

// ---- races between blocks ----

__global__ void missing_atomic(float* sum) {
  if (threadIdx.x == 0) *sum += 1;  // fault: missing_atomic
}

__global__ void atomic_and_plain(int* count, int* seen) {
  if (blockIdx.x == 0 && threadIdx.x == 0) *count = 5;                             // other: atomic_and_plain
  if (blockIdx.x > 0 && threadIdx.x == 0) seen[blockIdx.x] = atomicAdd(count, 1);  // fault: atomic_and_plain
}

template <bool kFence>
__device__ void last_block_sum(float* partial, unsigned* arrived, float* y) {
  __shared__ bool is_last;
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = static_cast<float>(blockIdx.x);  // other: missing_fence
    if (kFence) __threadfence();
    is_last = atomicAdd(arrived, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last) return;
  float sum = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x) sum += partial[i];  // fault: missing_fence
  atomicAdd(y, sum);
}
__global__ void missing_fence(float* partial, unsigned* arrived, float* y) {
  last_block_sum<false>(partial, arrived, y);
}

// ---- synchronisation ----

__global__ void divergent_barrier(float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = 1;
  if (threadIdx.x < 32) __syncthreads();  // fault: divergent_barrier
  else __syncthreads();                   // other: divergent_barrier
  y[threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void shuffle_without_lanes(float* y) {
  float x = y[threadIdx.x];
  if (threadIdx.x < 16) x += __shfl_xor_sync(0xffffffffu, x, 1);  // fault: shuffle_without_lanes
  __syncthreads();
  y[threadIdx.x] = x;
}

// The lanes beyond n have exited: what they would give is undefined.
__global__ void shuffle_from_exited_lane(float* y, int n) {
  if (threadIdx.x >= n) return;
  y[threadIdx.x] += __shfl_down_sync(0xffffffffu, y[threadIdx.x], 1);  // fault: shuffle_from_exited_lane
}

// Lanes of one warp at different barriers.
__global__ void barrier_in_warp(float* y, int n) {
  if (threadIdx.x < n) {
    y[threadIdx.x] = 1;
    __syncthreads();  // fault: barrier_in_warp
  }
  y[threadIdx.x + 32] = y[threadIdx.x];
  __syncwarp();
}

template <bool kWait>
__device__ void copy_through_shared(float* y, const float* x) {
  __shared__ __align__(16) float tile[128];
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(tile + 4 * threadIdx.x));
  const float* from = x + 4 * threadIdx.x;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");  // other: missing_wait
  if (kWait) asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  for (int i = 0; i < 4; ++i) y[4 * threadIdx.x + i] = tile[127 - 4 * threadIdx.x - i];  // fault: missing_wait
}
__global__ void missing_wait(float* y, const float* x) { copy_through_shared<false>(y, x); }

// ---- launches ----

__global__ void plain(float* y) { y[threadIdx.x] = 1; }
__global__ void __launch_bounds__(64) bounded(float* y) { y[threadIdx.x] = 1; }
__global__ void dynamic(float* y) {
  extern __shared__ float memory[];
  memory[threadIdx.x] = 1;
  y[threadIdx.x] = memory[threadIdx.x];
}

// ---- right, though ----

__global__ void last_block(float* partial, unsigned* arrived, float* y) { last_block_sum<true>(partial, arrived, y); }
// All threads write and fence, one of them counts for all.
__global__ void last_block_all_fence(float* partial, unsigned* arrived, float* y) {
  __shared__ bool is_last;
  partial[global_thread()] = 1;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) is_last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
  __syncthreads();
  if (!is_last) return;
  for (unsigned i = threadIdx.x; i < gridDim.x * blockDim.x; i += blockDim.x) atomicAdd(y, partial[i]);
}
__global__ void warp_tree(float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = y[global_thread()];
  const int lane = threadIdx.x % 32;
  for (int width = 16; width > 0; width /= 2) {
    __syncwarp();
    if (lane < width) tile[threadIdx.x] += tile[threadIdx.x + width];
  }
  if (lane == 0) y[global_thread()] = tile[threadIdx.x];
}
// Halves of a warp that synchronise on their own.
__global__ void half_warps(float* y) {
  __shared__ float tile[32];
  const unsigned mine = threadIdx.x < 16 ? 0xffffu : 0xffff0000u;
  const int base = threadIdx.x / 16 * 16;
  tile[threadIdx.x] = y[threadIdx.x];
  if (threadIdx.x < 16) {
    __syncwarp(mine);
    y[threadIdx.x] = tile[base + 15 - threadIdx.x % 16];
  } else {
    __syncwarp(mine);
    y[threadIdx.x] = 2 * tile[base + 15 - threadIdx.x % 16];
  }
}
__global__ void neighbours(__nv_bfloat16* y, unsigned char* bytes) {
  __shared__ __nv_bfloat16 tile[64];
  tile[threadIdx.x] = __float2bfloat16(1.0f);
  y[global_thread()] = tile[threadIdx.x];
  bytes[global_thread()] = static_cast<unsigned char>(threadIdx.x);
}
__global__ void same_value(int* found) {
  __shared__ int any;
  any = 7;
  __syncthreads();
  found[0] = any;  // every thread of every block
}
__global__ void cp_async_waited(float* y, const float* x) { copy_through_shared<true>(y, x); }
__global__ void histogram(int* bins, const float* x) {
  __shared__ int local[8];
  if (threadIdx.x < 8) local[threadIdx.x] = 0;
  __syncthreads();
  atomicAdd(&local[static_cast<int>(x[threadIdx.x]) % 8], 1);
  __syncthreads();
  if (threadIdx.x < 8) atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
}
// Warps of a block that meet at a barrier of their own.
__global__ void named_barriers(float* y) {
  __shared__ float tile[128];
  tile[threadIdx.x] = y[threadIdx.x];
  const int pair = threadIdx.x / 64;
  asm volatile("bar.sync %0, 64;" ::"r"(pair + 1) : "memory");
  y[threadIdx.x] = tile[pair * 64 + 63 - threadIdx.x % 64];
}
// A warp passes a value to the other by a flag.
__global__ void flag_in_shared(float* y) {
  __shared__ float value;
  __shared__ volatile int ready;
  if (threadIdx.x == 0) ready = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    value = 3;
    __threadfence_block();
    ready = 1;
  }
  if (threadIdx.x == 32) {
    while (ready == 0) {
    }
    __threadfence_block();
    y[0] = value;
  }
}

// ---- cases ----

namespace {

void run_faults(const std::string& name) {
  float* y = filled(1024);
  const float* x = filled(1024);
  if (name == "global_write_past_end") global_write_past_end<<<3, 64>>>(filled(130), 130);
  if (name == "global_read_before_begin") global_read_before_begin<<<1, 64>>>(y, x, 64);
  if (name == "read_freed") {
    float* freed = filled(64);
    CHECK(cudaFree(freed));
    read_freed<<<1, 64>>>(y, freed);
  }
  if (name == "null_pointer") null_pointer<<<1, 64>>>(nullptr);
  if (name == "shared_past_end") shared_past_end<<<1, 64>>>(y);
  if (name == "local_past_end") local_past_end<<<1, 64>>>(y, 9);
  if (name == "global_misaligned") global_misaligned<<<1, 64>>>(y, x);
  if (name == "shared_misaligned") shared_misaligned<<<1, 32>>>(y);
  if (name == "global_uninitialised") global_uninitialised<<<1, 64>>>(y, unfilled(64));
  if (name == "shared_uninitialised") shared_uninitialised<<<1, 64>>>(y);
  if (name == "local_uninitialised") local_uninitialised<<<1, 64>>>(y, 8);
  if (name == "missing_barrier") missing_barrier<<<1, 64>>>(y);
  if (name == "missing_second_barrier") missing_second_barrier<<<1, 64>>>(y, x);
  if (name == "missing_syncwarp") missing_syncwarp<<<1, 32>>>(y);
  if (name == "different_values") different_values<<<1, 64>>>(y);
  if (name == "global_race_in_block") global_race_in_block<<<1, 64>>>(y);
  if (name == "missing_atomic") missing_atomic<<<4, 64>>>(y);
  if (name == "atomic_and_plain") atomic_and_plain<<<4, 64>>>(zeros(1), zeros(4));
  if (name == "missing_fence") missing_fence<<<4, 64>>>(y, reinterpret_cast<unsigned*>(zeros(1)), filled(1));
  if (name == "divergent_barrier") divergent_barrier<<<1, 64>>>(y);
  if (name == "shuffle_without_lanes") shuffle_without_lanes<<<1, 32>>>(y);
  if (name == "shuffle_from_exited_lane") shuffle_from_exited_lane<<<1, 32>>>(y, 20);
  if (name == "barrier_in_warp") barrier_in_warp<<<1, 32>>>(y, 20);
  if (name == "missing_wait") missing_wait<<<1, 32>>>(y, x);
}

void run_host_faults(const std::string& name) {
  float* y = filled(1024);
  if (name == "block_too_large") plain<<<1, 1025>>>(y);
  if (name == "grid_of_zero") plain<<<0, 32>>>(y);
  if (name == "beyond_launch_bounds") bounded<<<1, 96>>>(y);
  if (name == "shared_without_opt_in") dynamic<<<1, 32, 64 << 10>>>(y);
  if (name == "shared_beyond_profile") {
    const cudaError_t refused = cudaFuncSetAttribute(dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 120 << 10);
    CHECK(refused);
    dynamic<<<1, 32, 120 << 10>>>(y);
  }
  if (name == "double_free") {
    float* twice = filled(1);
    CHECK(cudaFree(twice));
    CHECK(cudaFree(twice));
  }
  if (name == "invalid_free") CHECK(cudaFree(y + 1));
  if (name == "copy_of_uninitialised") {
    float host[64];
    CHECK(cudaMemcpy(host, unfilled(64), sizeof(host), cudaMemcpyDeviceToHost));
  }
  if (name == "copy_past_end") {
    float host[64] = {};
    CHECK(cudaMemcpy(filled(60), host, sizeof(host), cudaMemcpyHostToDevice));
  }
}

void run_clean(const std::string& name) {
  float* y = filled(4096);
  const float* x = filled(4096);
  auto* arrived = reinterpret_cast<unsigned*>(zeros(1));
  if (name == "clean_last_block") last_block<<<5, 64>>>(y, arrived, filled(1));
  if (name == "clean_last_block_all_fence") last_block_all_fence<<<5, 64>>>(y, arrived, filled(1));
  if (name == "clean_warp_tree") warp_tree<<<3, 64>>>(y);
  if (name == "clean_half_warps") half_warps<<<1, 32>>>(y);
  if (name == "clean_neighbours") {
    neighbours<<<4, 64>>>(reinterpret_cast<__nv_bfloat16*>(y), reinterpret_cast<unsigned char*>(zeros(64)));
  }
  if (name == "clean_same_value") same_value<<<4, 64>>>(zeros(1));
  if (name == "clean_cp_async") cp_async_waited<<<1, 32>>>(y, x);
  if (name == "clean_histogram") histogram<<<4, 64>>>(zeros(8), x);
  if (name == "clean_named_barriers") named_barriers<<<1, 128>>>(y);
  if (name == "clean_flag_in_shared") flag_in_shared<<<1, 64>>>(y);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  free_at_end = name != "leak";
  run_faults(name);
  run_host_faults(name);
  run_clean(name);
  CHECK(cudaGetLastError());
  CHECK(cudaDeviceSynchronize());
  free_all();
  return 0;
}
