// Memory: widths, vectors, constants, variables, asynchronous copies, printf; and what the bounds check must find.
#include <cstdint>
#include <cstdio>

__constant__ float coefficients[4] = {1.0f, -2.0f, 3.5f, 0.25f};
__constant__ int from_host[8];
__device__ int counter = 41;
__device__ int table[3][2] = {{1, 2}, {3, 4}, {5, 6}};
__device__ const char* message = "hello";
__device__ int* pointer = &table[2][1];

template <class T>
__device__ void add_one(T* out, const T* in, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = in[i] + 1;
}
extern "C" __global__ void add_one_s8(int8_t* out, const int8_t* in, int n) { add_one(out, in, n); }
extern "C" __global__ void add_one_u16(uint16_t* out, const uint16_t* in, int n) { add_one(out, in, n); }
extern "C" __global__ void add_one_f64(double* out, const double* in, int n) { add_one(out, in, n); }

// Signed bytes become wide integers; a scattered read.
extern "C" __global__ void widen(long long* out, const int8_t* in, const int* index, int n) {
  const int i = threadIdx.x;
  if (i < n) out[i] = in[index[i]];
}

extern "C" __global__ void vectors(float4* out, const float4* __restrict__ in, const uint2* pairs, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float4 v = __ldg(in + i);
  const uint2 p = pairs[i];
  out[i] = make_float4(v.w, v.z + static_cast<float>(p.x), v.y, v.x * static_cast<float>(p.y));
}

extern "C" __global__ void variables(float* out, int* numbers) {
  const int i = threadIdx.x;
  out[i] = coefficients[i % 4] + static_cast<float>(from_host[i % 8]);
  if (i == 0) {
    ++counter;
    numbers[0] = counter;
    numbers[1] = table[1][0] * 10 + *pointer;
    numbers[2] = message[4];
  }
}

// Generic pointers: each lane to another memory.
extern "C" __global__ void generic_pointers(int* out, int* device) {
  __shared__ int shared[32];
  int local[4] = {0, 1, 2, static_cast<int>(threadIdx.x)};
  shared[threadIdx.x] = 500 + threadIdx.x;
  __syncwarp();
  int* where = threadIdx.x % 3 == 0   ? device + threadIdx.x
               : threadIdx.x % 3 == 1 ? shared + threadIdx.x
                                      : local + threadIdx.x % 4;
  atomicAdd(where, 1);
  out[threadIdx.x] = *where + 1000 * __isShared(where) + 2000 * __isLocal(where) + 4000 * __isGlobal(where);
}

// Copies that have not been waited for are not there yet.
extern "C" __global__ void async_copy(int* out, const int4* in, int valid) {
  __shared__ int4 buffer[2][32];
  const int i = threadIdx.x;
  buffer[0][i] = buffer[1][i] = make_int4(-1, -1, -1, -1);
  const auto copy = [&](int stage, const int4* from, int bytes) {
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(&buffer[stage][i]));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  copy(0, in + i, 16);
  copy(1, in + 32 + i, i < valid ? 16 : 0);
  volatile int* words = reinterpret_cast<volatile int*>(buffer);
  out[i] = words[4 * i];  // not landed
  asm volatile("cp.async.wait_group 1;" ::: "memory");
  out[32 + i] = words[4 * i + 1];        // landed
  out[64 + i] = words[128 + 4 * i + 2];  // not landed
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  out[96 + i] = words[128 + 4 * (31 - i) + 3];
}

extern "C" __global__ void print(int n) {
  if (threadIdx.x < n)
    printf("thread %d: %5.2f %s %lld %c %%\n", threadIdx.x, 0.5 * threadIdx.x, "text", 1ll << 40, 'x');
}

// Faults.
extern "C" __global__ void write_at(int* out, long long index) { out[index] = 1; }
extern "C" __global__ void read_at(int* out, const int* in, long long index) { *out = in[index]; }
extern "C" __global__ void guard_off_by_one(float* out, const float* in, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n) out[i] = in[i];
}
extern "C" __global__ void misaligned(float4* out, const float* in) { *out = *reinterpret_cast<const float4*>(in + 1); }
extern "C" __global__ void local_overrun(int* out, int n) {
  int values[4] = {1, 2, 3, 4};
  for (int i = 0; i < n; ++i) values[i] += i;
  out[0] = values[out[1] % 4];
}
extern "C" __global__ void write_constant(int n) {
  int* constant;
  asm("mov.u64 %0, from_host;" : "=l"(constant));
  if (n > 0) asm volatile("st.global.u32 [%0], %1;" ::"l"(constant + n), "r"(n) : "memory");
}
extern "C" __global__ void asserts(int limit) {
  if (threadIdx.x == 7) {
    if (!(static_cast<int>(threadIdx.x) < limit)) __assert_fail("threadIdx.x < limit", "memory.cu", 7, "asserts");
  }
}
