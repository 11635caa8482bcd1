#pragma once
// cuBLASLt behind a function that speaks of row-major matrices. The library is opened at the first product and not
// when the program starts: it is half a gigabyte that nobody without a GPU should load.
#include <compare>
#include <cstddef>

#include "kernels/gemm/gemm.h"

namespace vigor {

enum class LtEpilogue : uint8_t {
  none,
  bias,      // C += vector[n]
  row_sums,  // vector[m] = sum over k of op(A)[m,k]
};

// All that the choice of an algorithm depends on, in the terms of gemm.h.
struct LtProblem {
  int64_t count, m, n, k;
  Dtype in, out;  // of A and B; of C and the vector
  Transpose transpose_a, transpose_b;
  int64_t lda, ldb, ldc;
  int64_t stride_a, stride_b, stride_c;
  LtEpilogue epilogue;
  bool tf32;
  uint32_t alignment_a, alignment_b, alignment_c;  // of the pointers, see lt_alignment()
  auto operator<=>(const LtProblem&) const = default;
};

struct LtPointers {
  const void *a, *b;
  void* c;
  void* vector;  // read or written by the epilogue, else unused; at a multiple of 16 bytes
};

// The largest power of two up to 16 that divides the address. No kernel gains from more, and a coarser value keeps the
// choice of the algorithm, and with it the rounding, independent of where the allocator happened to put a tensor.
uint32_t lt_alignment(const void* data);

// Launches the product. False, with nothing done, when the library has no algorithm for it. Throws std::runtime_error
// with the call and its place when the library is missing or anything else fails.
bool cublaslt_gemm(const LtProblem& problem, const LtPointers& pointers, bool accumulate);

// Memory that products, and passes beside them, may use until the next one on cuda_stream().
struct GemmWorkspace {
  void* data;
  size_t nbytes;
};
GemmWorkspace gemm_workspace();

}  // namespace vigor
