#include "kernels/gemm/gemm_cuda.h"

#include "kernels/gemm/cublaslt_cuda.h"
#include "kernels/gemm/gemm_own_cuda.h"
#include "kernels/kernel_version.h"
#include "tensor/check.h"

namespace vigor {
namespace {

thread_local bool tf32_allowed = false;

// A batch of products as gemm.h describes one.
struct Product {
  int64_t count, m, n, k;
  const GemmInput &a, &b;
  const GemmOutput& c;
  int64_t stride_a, stride_b, stride_c;
  bool accumulates() const { return c.accumulate == Accumulate::yes; }
};

bool is_computed_on_cuda(Dtype dtype) { return dtype == Dtype::f32 || dtype == Dtype::bf16; }

void check_dtypes(const Product& p) {
  if (!is_computed_on_cuda(p.a.dtype) || !is_computed_on_cuda(p.b.dtype) || !is_computed_on_cuda(p.c.dtype))
    fail("gemm: on CUDA A, B and C must each be f32 or bf16; got {}, {} and {}", name_of(p.a.dtype), name_of(p.b.dtype),
         name_of(p.c.dtype));
}

bool library_has_types(const Product& p) {
  return p.a.dtype == p.b.dtype && (p.a.dtype == Dtype::bf16 || p.c.dtype == Dtype::f32);
}

bool is_aligned(const void* vector) { return reinterpret_cast<uintptr_t>(vector) % 16 == 0; }

bool library_product(const Product& p, LtEpilogue epilogue, void* vector) {
  const LtProblem problem{.count = p.count,
                          .m = p.m,
                          .n = p.n,
                          .k = p.k,
                          .in = p.a.dtype,
                          .out = p.c.dtype,
                          .transpose_a = p.a.transpose,
                          .transpose_b = p.b.transpose,
                          .lda = p.a.ld,
                          .ldb = p.b.ld,
                          .ldc = p.c.ld,
                          .stride_a = p.stride_a,
                          .stride_b = p.stride_b,
                          .stride_c = p.stride_c,
                          .epilogue = epilogue,
                          .tf32 = tf32_allowed,
                          .alignment_a = lt_alignment(p.a.data),
                          .alignment_b = lt_alignment(p.b.data),
                          .alignment_c = lt_alignment(p.c.data)};
  return cublaslt_gemm(problem, {p.a.data, p.b.data, p.c.data, vector}, p.accumulates());
}

void own_product(int version, const Product& p, const void* bias) {
  const bool at = p.a.transpose == Transpose::yes, bt = p.b.transpose == Transpose::yes;
  gemm_own_cuda(version, {.count = p.count,
                          .m = p.m,
                          .n = p.n,
                          .k = p.k,
                          .a = p.a.data,
                          .b = p.b.data,
                          .c = p.c.data,
                          .bias = bias,
                          .a_dtype = p.a.dtype,
                          .b_dtype = p.b.dtype,
                          .c_dtype = p.c.dtype,
                          .a_row = at ? 1 : p.a.ld,
                          .a_column = at ? p.a.ld : 1,
                          .b_row = bt ? 1 : p.b.ld,
                          .b_column = bt ? p.b.ld : 1,
                          .ldc = p.c.ld,
                          .a_batch = p.stride_a,
                          .b_batch = p.stride_b,
                          .c_batch = p.stride_c,
                          .accumulate = p.accumulates()});
}

// True when the row sums came with the product.
bool multiply(const Product& p, const GemmCudaEpilogue& e) {
  const int version = kernel_version("gemm", kGemmCudaVersions);
  // The library's kernels expect the bias at a multiple of 16 bytes, which all parameters are.
  if (version == kGemmCudaVersions && library_has_types(p) && p.k > 0 && is_aligned(e.bias)) {
    // It overwrites the row sums, and writes them in the type of C.
    const bool sums = e.row_sums && e.row_sums->accumulate == Accumulate::no && e.row_sums->dtype == p.c.dtype;
    if (sums && is_aligned(e.row_sums->data) && library_product(p, LtEpilogue::row_sums, e.row_sums->data)) return true;
    const LtEpilogue bias = e.bias != nullptr ? LtEpilogue::bias : LtEpilogue::none;
    if (library_product(p, bias, const_cast<void*>(e.bias))) return false;
  }
  own_product(version, p, e.bias);
  return false;
}

void run(const Product& p, const GemmCudaEpilogue& e) {
  check_dtypes(p);
  const bool has_elements = p.count > 0 && p.m > 0 && p.n > 0;
  const bool summed = has_elements && multiply(p, e);
  // op(A)'s rows are the columns of A as it is stored, [K,M].
  if (e.row_sums && !summed) column_sum_cuda(p.k, p.m, {p.a.data, p.a.dtype, p.a.ld}, *e.row_sums);
}

}  // namespace

void gemm_cuda(int64_t m, int64_t n, int64_t k, const GemmInput& a, const GemmInput& b, const GemmOutput& c,
               const GemmCudaEpilogue& epilogue) {
  run({1, m, n, k, a, b, c, 0, 0, 0}, epilogue);
}

void gemm_batched_cuda(int64_t count, int64_t m, int64_t n, int64_t k, const GemmInput& a, int64_t stride_a,
                       const GemmInput& b, int64_t stride_b, const GemmOutput& c, int64_t stride_c) {
  run({count, m, n, k, a, b, c, stride_a, stride_b, stride_c}, {});
}

void column_sum_cuda(int64_t m, int64_t n, const GemmInput& x, const GemmOutput& out) {
  if (!is_computed_on_cuda(x.dtype) || !is_computed_on_cuda(out.dtype))
    fail("column_sum: on CUDA x and the sums must each be f32 or bf16; got {} into {}", name_of(x.dtype),
         name_of(out.dtype));
  if (n == 0) return;
  const GemmWorkspace scratch = gemm_workspace();
  column_sum_with_scratch_cuda(m, n, x, out, static_cast<float*>(scratch.data), static_cast<int64_t>(scratch.nbytes));
}

CudaTf32Scope::CudaTf32Scope() : outer_(tf32_allowed) { tf32_allowed = true; }
CudaTf32Scope::~CudaTf32Scope() { tf32_allowed = outer_; }

}  // namespace vigor
