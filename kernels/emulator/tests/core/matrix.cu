// Tensor cores: fragments filled as the PTX manual says, by ldmatrix, and by wmma.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include <cstdint>

using bf16 = __nv_bfloat16;

__device__ uint32_t shared_address(const void* at) { return static_cast<uint32_t>(__cvta_generic_to_shared(at)); }

// d [16, 8] = a [16, 16] b [16, 8] + c, all by ldmatrix, b read transposed.
extern "C" __global__ void mma_k16_bf16(float* d, const bf16* a, const bf16* b, const float* c) {
  __shared__ __align__(16) bf16 a_tile[16][16];
  __shared__ __align__(16) bf16 b_tile[16][8];
  const int lane = threadIdx.x;
  for (int i = lane; i < 256; i += 32) a_tile[i / 16][i % 16] = a[i];
  for (int i = lane; i < 128; i += 32) b_tile[i / 8][i % 8] = b[i];
  __syncwarp();
  uint32_t x[4], y[2];
  // Matrices 0 to 3: rows 0-7 and 8-15 of columns 0-7, then of columns 8-15.
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(shared_address(&a_tile[lane % 16][lane / 16 * 8])));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(y[0]), "=r"(y[1])
               : "r"(shared_address(&b_tile[lane % 16][0])));
  const int row = lane / 4, column = lane % 4 * 2;
  float sums[4] = {c[row * 8 + column], c[row * 8 + column + 1], c[(row + 8) * 8 + column],
                   c[(row + 8) * 8 + column + 1]};
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
  d[row * 8 + column] = sums[0];
  d[row * 8 + column + 1] = sums[1];
  d[(row + 8) * 8 + column] = sums[2];
  d[(row + 8) * 8 + column + 1] = sums[3];
}

// The same in f16 with f16 sums; fragments are filled by hand.
extern "C" __global__ void mma_k16_f16(__half* d, const __half* a, const __half* b, const __half* c) {
  const int group = threadIdx.x / 4, member = threadIdx.x % 4;
  const auto pair = [](__half low, __half high) {
    return static_cast<uint32_t>(__half_as_ushort(low)) | static_cast<uint32_t>(__half_as_ushort(high)) << 16;
  };
  uint32_t x[4], y[2], z[2];
  for (int i = 0; i < 4; ++i) {
    const __half* at = a + (group + i % 2 * 8) * 16 + member * 2 + i / 2 * 8;
    x[i] = pair(at[0], at[1]);
  }
  for (int i = 0; i < 2; ++i) {
    const __half* at = b + (member * 2 + i * 8) * 8 + group;
    y[i] = pair(at[0], at[8]);
    z[i] = pair(c[(group + 8 * i) * 8 + member * 2], c[(group + 8 * i) * 8 + member * 2 + 1]);
  }
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%0, %1};"
               : "+r"(z[0]), "+r"(z[1])
               : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
  for (int i = 0; i < 2; ++i) {
    reinterpret_cast<uint32_t*>(d)[((group + 8 * i) * 8 + member * 2) / 2] = z[i];
  }
}

// d [16, 8] = a [16, 8] b [8, 8], b in column order.
extern "C" __global__ void mma_k8_f16(float* d, const __half* a, const __half* b) {
  const int group = threadIdx.x / 4, member = threadIdx.x % 4;
  const uint32_t* a_pairs = reinterpret_cast<const uint32_t*>(a);
  const uint32_t x0 = a_pairs[group * 4 + member], x1 = a_pairs[(group + 8) * 4 + member];
  const uint32_t y = reinterpret_cast<const uint32_t*>(b)[group * 4 + member];
  float s[4] = {};
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
               : "r"(x0), "r"(x1), "r"(y));
  for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + member * 2 + i % 2] = s[i];
}

extern "C" __global__ void mma_k8_tf32(float* d, const float* a, const float* b) {
  const int group = threadIdx.x / 4, member = threadIdx.x % 4;
  uint32_t x[4], y[2];
  for (int i = 0; i < 4; ++i) x[i] = __float_as_uint(a[(group + i % 2 * 8) * 8 + member + i / 2 * 4]);
  for (int i = 0; i < 2; ++i) y[i] = __float_as_uint(b[(member + i * 4) * 8 + group]);
  float s[4] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
  for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + member * 2 + i % 2] = s[i];
}

// d [M, N] = a [M, K] b [K, N] with wmma; a and b in the given orders; the fragment is scaled elementwise.
template <int M, int N, class T, class Sum, class ALayout, class BLayout>
__device__ void wmma_product(Sum* d, const T* a, const T* b, int k, int lda, int ldb) {
  namespace w = nvcuda::wmma;
  w::fragment<w::accumulator, M, N, 16, Sum> sums;
  w::fill_fragment(sums, static_cast<Sum>(0.0f));
  for (int at = 0; at < k; at += 16) {
    w::fragment<w::matrix_a, M, N, 16, T, ALayout> x;
    w::fragment<w::matrix_b, M, N, 16, T, BLayout> y;
    const bool a_rows = std::is_same_v<ALayout, w::row_major>, b_rows = std::is_same_v<BLayout, w::row_major>;
    w::load_matrix_sync(x, a_rows ? a + at : a + at * lda, lda);
    w::load_matrix_sync(y, b_rows ? b + at * ldb : b + at, ldb);
    w::mma_sync(sums, x, y, sums);
  }
  for (int i = 0; i < sums.num_elements; ++i) sums.x[i] *= static_cast<Sum>(2.0f);
  w::store_matrix_sync(d, sums, N, w::mem_row_major);
}

using Rows = nvcuda::wmma::row_major;
using Columns = nvcuda::wmma::col_major;
extern "C" __global__ void wmma_bf16_rows(float* d, const bf16* a, const bf16* b, int k) {
  wmma_product<16, 16, bf16, float, Rows, Rows>(d, a, b, k, k, 16);
}
extern "C" __global__ void wmma_f16_columns(float* d, const __half* a, const __half* b, int k) {
  wmma_product<32, 8, __half, float, Rows, Columns>(d, a, b, k, k, k);
}
extern "C" __global__ void wmma_f16_sums(__half* d, const __half* a, const __half* b, int k) {
  wmma_product<8, 32, __half, __half, Columns, Rows>(d, a, b, k, 8, 32);
}

// Fault: lanes are missing.
extern "C" __global__ void mma_of_some_lanes(float* d) {
  float s[4] = {};
  if (threadIdx.x < 16) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %4}, {%4}, {%0, %1, %2, %3};"
        : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
        : "r"(0));
    d[threadIdx.x] = s[0];
  }
}
// Fault: rows of 16 bytes must be aligned.
extern "C" __global__ void ldmatrix_misaligned(uint32_t* d, int offset) {
  __shared__ __align__(16) bf16 tile[8][8 + 1];
  uint32_t x;
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
               : "=r"(x)
               : "r"(shared_address(&tile[threadIdx.x % 8][0]) + offset));
  d[threadIdx.x] = x;
}
