#pragma once
// gemm.h for device memory: row-major products on cuda_stream(). No allocation and no synchronisation after the first
// product of a shape, so that a step can be captured once and replayed.
//
//   A and B        C              computed by
//   both f32       f32            cuBLASLt in f32; TF32 only inside a CudaTf32Scope
//   both bf16      bf16 or f32    cuBLASLt on tensor cores, sums in f32
//   f32 and bf16   f32 or bf16    our own kernels, sums in f32: several times slower. So is f32 into bf16, and what
//                                 the library turns down
//
// The ladder: kernel_version("gemm", kGemmCudaVersions) is 1 to 4 for our own kernels (gemm_own_cuda.h), 5 is cuBLASLt.
// Errors: std::invalid_argument for f64 and integers; std::runtime_error when cuBLASLt is missing or fails. Sizes and
// pointers are trusted.
#include <optional>

#include "kernels/gemm/gemm.h"

namespace vigor {

inline constexpr int kGemmCudaVersions = 5;

// What is computed along with a product; not both. Row sums that do not fit the library's epilogue are a pass of their
// own.
struct GemmCudaEpilogue {
  const void* bias = nullptr;          // [N] in the dtype of C: C = op(A) op(B) (+ C) + bias[n]
  std::optional<GemmOutput> row_sums;  // [M]: row_sums[m] (+)= sum over k of op(A)[m,k]; A must be transposed

  static GemmCudaEpilogue add_bias(const void* bias_data) { return {bias_data, std::nullopt}; }
  // The gradient of a bias beside that of its weight, dW = dy^T x: the sums over the rows of dy.
  static GemmCudaEpilogue sum_rows_of_a(const GemmOutput& sums) { return {nullptr, sums}; }
};

void gemm_cuda(int64_t m, int64_t n, int64_t k, const GemmInput& a, const GemmInput& b, const GemmOutput& c,
               const GemmCudaEpilogue& epilogue = {});

void gemm_batched_cuda(int64_t count, int64_t m, int64_t n, int64_t k, const GemmInput& a, int64_t stride_a,
                       const GemmInput& b, int64_t stride_b, const GemmOutput& c, int64_t stride_c);

// out[n] (+)= sum over m of x[m,n], in f32, always in the same order. Bytes: m n elements read once, plus the partial
// sums of a few hundred blocks.
void column_sum_cuda(int64_t m, int64_t n, const GemmInput& x, const GemmOutput& out);

// While one lives, f32 products of this thread may round their factors to TF32 (10 bits of mantissa): about eight
// times the speed on tensor cores.
class CudaTf32Scope {
 public:
  CudaTf32Scope();
  ~CudaTf32Scope();
  CudaTf32Scope(const CudaTf32Scope&) = delete;
  CudaTf32Scope& operator=(const CudaTf32Scope&) = delete;

 private:
  bool outer_;
};

}  // namespace vigor
