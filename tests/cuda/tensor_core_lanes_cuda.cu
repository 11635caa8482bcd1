#include "tests/cuda/tensor_core_lanes_cuda.h"

#include "tensor/cuda_kernel.cuh"

namespace vigor::testing {
namespace {

__global__ void mma_k16(float* d, const uint32_t* a, const uint32_t* b, const float* c) {
  const int lane = static_cast<int>(threadIdx.x);
  a += lane * 4;
  b += lane * 2;
  c += lane * 4;
  d += lane * 4;
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

__global__ void mma_k8(float* d, const uint32_t* a, const uint32_t* b, const float* c) {
  const int lane = static_cast<int>(threadIdx.x);
  a += lane * 2;
  b += lane;
  c += lane * 4;
  d += lane * 4;
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%8,%9,%10};"
               : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b[0]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

template <bool kTrans>
__global__ void ldmatrix_x4(uint32_t* fragments, const uint32_t* rows) {
  __shared__ __align__(16) uint32_t shared[32 * 4];  // 32 rows of 8 16-bit elements
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 4; ++i) shared[lane * 4 + i] = rows[lane * 4 + i];
  __syncwarp();
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(&shared[lane * 4]));
  uint32_t r[4];
  if constexpr (kTrans)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
  for (int i = 0; i < 4; ++i) fragments[lane * 4 + i] = r[i];
}

}  // namespace

void run_mma(int k, const TensorView& d, const TensorView& a, const TensorView& b, const TensorView& c) {
  const auto words = [](const TensorView& x) { return static_cast<const uint32_t*>(x.data); };
  auto* const kernel = k == 16 ? mma_k16 : mma_k8;
  kernel<<<1, kWarpSize, 0, cuda_stream()>>>(d.as<float>(), words(a), words(b), c.as<float>());
  VIGOR_CUDA_CHECK_LAUNCH("mma");
}

void run_ldmatrix(bool trans, const TensorView& fragments, const TensorView& rows) {
  auto* const kernel = trans ? ldmatrix_x4<true> : ldmatrix_x4<false>;
  kernel<<<1, kWarpSize, 0, cuda_stream()>>>(static_cast<uint32_t*>(fragments.data),
                                             static_cast<const uint32_t*>(rows.data));
  VIGOR_CUDA_CHECK_LAUNCH("ldmatrix");
}

}  // namespace vigor::testing
