// Ordinary kernels to measure the emulator with.
#include <cuda_bf16.h>

#include <cstdint>

extern "C" __global__ void elementwise(float* y, const float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    const float v = x[i];
    y[i] = 0.5f * v * (1.0f + tanhf(0.7978845608f * (v + 0.044715f * v * v * v)));
  }
}

// One block a row.
extern "C" __global__ void layer_norm(float* y, const float* x, const float* weight, const float* bias, int columns) {
  __shared__ float parts[2][32];
  const float* row = x + static_cast<size_t>(blockIdx.x) * columns;
  float sum = 0, squares = 0;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    sum += row[i];
    squares += row[i] * row[i];
  }
  for (int step = 16; step > 0; step /= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, step);
    squares += __shfl_xor_sync(0xffffffffu, squares, step);
  }
  if (threadIdx.x % 32 == 0) {
    parts[0][threadIdx.x / 32] = sum;
    parts[1][threadIdx.x / 32] = squares;
  }
  __syncthreads();
  sum = squares = 0;
  for (int w = 0; w < blockDim.x / 32; ++w) {
    sum += parts[0][w];
    squares += parts[1][w];
  }
  const float mean = sum / columns, rstd = rsqrtf(squares / columns - mean * mean + 1e-5f);
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    y[static_cast<size_t>(blockIdx.x) * columns + i] = (row[i] - mean) * rstd * weight[i] + bias[i];
  }
}

// c = a b, n x n, tiles of 64 x 64 by 256 threads with 4 x 4 elements each.
extern "C" __global__ void tiled_matmul(float* c, const float* a, const float* b, int n) {
  __shared__ float a_tile[64][16], b_tile[16][64];
  const int column = threadIdx.x % 16 * 4, row = threadIdx.x / 16 * 4;
  float sums[4][4] = {};
  for (int k = 0; k < n; k += 16) {
    for (int i = threadIdx.x; i < 1024; i += 256) {
      a_tile[i / 16][i % 16] = a[(blockIdx.y * 64 + i / 16) * n + k + i % 16];
      b_tile[i / 64][i % 64] = b[(k + i / 64) * n + blockIdx.x * 64 + i % 64];
    }
    __syncthreads();
    for (int l = 0; l < 16; ++l) {
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 4; ++j) sums[i][j] += a_tile[row + i][l] * b_tile[l][column + j];
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) c[(blockIdx.y * 64 + row + i) * n + blockIdx.x * 64 + column + j] = sums[i][j];
  }
}

// Rows in bf16, 16-byte vectors.
extern "C" __global__ void bf16_scale(__nv_bfloat16* y, const __nv_bfloat16* x, float scale, int n) {
  const int i = (blockIdx.x * blockDim.x + threadIdx.x) * 8;
  if (i + 8 > n) return;
  uint4 words = *reinterpret_cast<const uint4*>(x + i);
  __nv_bfloat162* pairs = reinterpret_cast<__nv_bfloat162*>(&words);
  for (int k = 0; k < 4; ++k) {
    const float2 v = __bfloat1622float2(pairs[k]);
    pairs[k] = __floats2bfloat162_rn(v.x * scale, v.y * scale);
  }
  *reinterpret_cast<uint4*>(y + i) = words;
}

// Tensor cores from shared memory, a warp a 16 x 8 tile, again and again.
extern "C" __global__ void tensor_core(float* d, const __nv_bfloat16* a, int rounds) {
  __shared__ __align__(16) __nv_bfloat16 tile[16][16];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) tile[i / 16][i % 16] = a[i];
  __syncthreads();
  const int lane = threadIdx.x % 32;
  float s[4] = {};
  for (int round = 0; round < rounds; ++round) {
    uint32_t x[4];
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(&tile[lane % 16][lane / 16 * 8]))));
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%4, %5}, "
        "{%0, %1, %2, %3};"
        : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]));
  }
  d[blockIdx.x * blockDim.x + threadIdx.x] = s[0] + s[1] + s[2] + s[3];
}
