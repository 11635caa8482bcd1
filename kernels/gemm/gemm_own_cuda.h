#pragma once
// Our own products on the GPU: a ladder from one thread an element to tensor cores, and the sums of columns.
// Bytes are what one multiply-add costs. In the time in which an H100 reads 4 bytes from memory it could compute 40 of
// them in f32, and 590 on its tensor cores.
//
//   version   what is new                                            from memory   from shared memory
//   1         one thread an element of C                             8 (f32)       -
//   2         32 x 32 tiles in shared memory, used 32 times          0.25          8
//   3  f32    128 x 128 tiles; 8 x 8 sums a thread in registers      0.0625        1
//   4  bf16   the same tiles on tensor cores (mma.sync), fetched     0.031         0.094
//             with cp.async while the ones before are multiplied
// Versions 1 and 2 take every mix of f32 and bf16; what 3 or 4 cannot do falls to the next lower one.
#include <cstdint>

#include "kernels/gemm/gemm.h"

namespace vigor {

// `count` products C = op(A) op(B) (+ C) (+ bias[n]), rounded once. Element (i,p) of op(A) is a[i * a_row + p *
// a_column], and so on: one of the two strides of each matrix is 1. k may be 0, the other sizes not.
struct OwnGemm {
  int64_t count, m, n, k;
  const void *a, *b;
  void* c;
  const void* bias;                 // [n] in the dtype of C, or null
  Dtype a_dtype, b_dtype, c_dtype;  // f32 or bf16
  int64_t a_row, a_column, b_row, b_column, ldc;
  int64_t a_batch, b_batch, c_batch;  // elements from one matrix to the next
  bool accumulate;
};

void gemm_own_cuda(int version, const OwnGemm& gemm);
// Version 4 alone: A and B bf16.
void gemm_tensor_core_cuda(const OwnGemm& gemm);

// The sums of columns over parts of the rows go to `scratch`, before they are added up.
void column_sum_with_scratch_cuda(int64_t m, int64_t n, const GemmInput& x, const GemmOutput& out, float* scratch,
                                  int64_t scratch_bytes);

}  // namespace vigor
