// Blocks: shared memory, barriers, atomics.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

// Sums of blocks: warps by shuffles, then through static shared memory.
extern "C" __global__ void block_sum(float* sums, const float* x, int n) {
  __shared__ float parts[32];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = i < n ? x[i] : 0.0f;
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < (blockDim.x + 31) / 32 ? parts[threadIdx.x] : 0.0f;
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
  }
}

// Dynamic shared memory behind static; a tree with a barrier a level.
extern "C" __global__ void reverse_scan(int* out, const int* in) {
  __shared__ int offset[1];
  extern __shared__ int values[];
  const int i = threadIdx.x;
  if (i == 0) offset[0] = 995 + in[0];
  values[i] = in[blockDim.x - 1 - i];
  __syncthreads();
  for (int step = 1; step < blockDim.x; step *= 2) {
    const int add = i >= step ? values[i - step] : 0;
    __syncthreads();
    values[i] += add;
    __syncthreads();
  }
  out[i] = values[i] + offset[0];
}

extern "C" __global__ void transpose(float* out, const float* in, int rows, int columns) {
  __shared__ float tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x;
  for (int y = threadIdx.y; y < 32; y += blockDim.y) {
    const int row = blockIdx.y * 32 + y;
    if (row < rows && x < columns) tile[y][threadIdx.x] = in[row * columns + x];
  }
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  for (int y = threadIdx.y; y < 32; y += blockDim.y) {
    const int row = blockIdx.x * 32 + y;
    if (row < columns && x < rows) out[row * rows + x] = tile[threadIdx.x][y];
  }
}

extern "C" __global__ void barrier_reductions(int* out) {
  const int i = threadIdx.x;
  const int count = __syncthreads_count(i % 3 == 0);
  const int all = __syncthreads_and(i < 80), none = __syncthreads_and(i < 79);
  const int some = __syncthreads_or(i == 79), no = __syncthreads_or(i == 80);
  out[i] = count * 10000 + all * 1000 + none * 100 + some * 10 + no;
}

// Named barriers: one half of the block makes, the other takes.
extern "C" __global__ void producer_consumer(int* out, int rounds) {
  __shared__ int slot[32];
  const int lane = threadIdx.x % 32;
  for (int round = 0; round < rounds; ++round) {
    if (threadIdx.x < 32) {
      asm volatile("bar.sync 2, 64;" ::: "memory");
      slot[lane] = round * 100 + lane;
      asm volatile("bar.arrive 1, 64;" ::: "memory");
    } else {
      asm volatile("bar.arrive 2, 64;" ::: "memory");
      asm volatile("bar.sync 1, 64;" ::: "memory");
      out[round * 32 + lane] = slot[31 - lane];
    }
  }
}

// Threads that have exited are not waited for.
extern "C" __global__ void some_exit(int* out) {
  __shared__ int value;
  if (threadIdx.x >= 40) return;
  if (threadIdx.x == 39) value = 12;
  __syncthreads();
  out[threadIdx.x] = value;
}

struct Atomics {
  int add, low, high, exchanged, increments;
  unsigned ands, ors, xors;
  unsigned long long wide;
  float f32;
  double f64;
  __nv_bfloat162 bf16;
  __half2 f16;
};
extern "C" __global__ void atomics(Atomics* a, unsigned* old) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  old[i] = atomicAdd(&a->add, 2);
  atomicMin(&a->low, -i);
  atomicMax(&a->high, i * 3 % 101);
  if (i == 5) atomicExch(&a->exchanged, 77);
  atomicInc(reinterpret_cast<unsigned*>(&a->increments), 9);
  atomicAnd(&a->ands, ~(1u << (i % 7)));
  atomicOr(&a->ors, 1u << (i % 11));
  atomicXor(&a->xors, i);
  atomicAdd(&a->wide, 1ull << 33);
  atomicAdd(&a->f32, 0.5f);
  atomicAdd(&a->f64, 0.25);
  if (i < 64) atomicAdd(&a->bf16, __floats2bfloat162_rn(1.0f, 2.0f));
  if (i < 64) atomicAdd(&a->f16, __floats2half2_rn(1.0f, 0.5f));
}

extern "C" __global__ void shared_histogram(int* out, const unsigned char* data, int n) {
  __shared__ int counts[16];
  if (threadIdx.x < 16) counts[threadIdx.x] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(&counts[data[i] % 16], 1);
  __syncthreads();
  if (threadIdx.x < 16) atomicAdd(&out[threadIdx.x], counts[threadIdx.x]);
}

// The last block to finish adds up: needs real atomics when blocks run on several threads.
extern "C" __global__ void last_block(float* total, float* parts, unsigned* tickets) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = blockIdx.x + 1.0f;
    __threadfence();
    last = atomicInc(tickets, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    float sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += parts[i];
    *total = sum;
  }
}

extern "C" __global__ void __launch_bounds__(64) bounded(int* out) { out[threadIdx.x] = 1; }

// Faults.
extern "C" __global__ void divergent_barrier(int* out) {
  __shared__ int value[64];
  if (threadIdx.x < 48) {
    value[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = value[47 - threadIdx.x];
  } else {
    value[threadIdx.x] = 2;
    __syncthreads();
    out[threadIdx.x] = value[threadIdx.x] + 1;
  }
}
extern "C" __global__ void warps_at_two_barriers(int* out) {
  __shared__ int value[64];
  value[threadIdx.x] = threadIdx.x;
  if (threadIdx.x < 32) {
    __syncthreads();
    out[threadIdx.x] = value[threadIdx.x] * 2;
  } else {
    out[threadIdx.x] = 5;
    __syncthreads();
    out[threadIdx.x] += value[threadIdx.x - 1];
  }
}
extern "C" __global__ void missing_partner() {
  if (threadIdx.x < 32) asm volatile("bar.sync 3, 96;" ::: "memory");
}
extern "C" __global__ void trapped(int limit) {
  if (threadIdx.x > limit) __trap();
}
