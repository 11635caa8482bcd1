#pragma once
// General matrix product on raw row-major memory; knows no tensors and no autograd.
//
//   C[M,N] = op(A)[M,K] op(B)[K,N]           (+ C with Accumulate::yes), then the epilogue
//
//   op(A) = A    stored [M,K], lda >= K      op(A) = A^T  stored [K,M], lda >= M
//   op(B) = B    stored [K,N], ldb >= N      op(B) = B^T  stored [N,K], ldb >= K     ld in elements
//
//   A and B      f32 or bf16, in any mix     both f64
//   C            f32 or bf16                 f64
//   sums         f32                         f64
//
// The products of a linear layer, x [M,K], W [N,K] as published:
//   y  = x W^T     gemm(M, N, K, {x, K}, {w, K, Transpose::yes}, {y, N}, GemmEpilogue::bias(b));
//   dx = dy W      gemm(M, K, N, {dy, N}, {w, K}, {dx, K});
//   dW += dy^T x   gemm(N, K, M, {dy, N, Transpose::yes}, {x, K}, {dw, K, Accumulate::yes});
//   db += sum_m dy column_sum(M, N, {dy, N}, {db, N, Accumulate::yes});
//
// Threads: OpenMP; inside a parallel region a call runs on the calling thread alone. Each element of C is computed by
// one thread, in an order that only the shape sets, so with the own kernels the result does not depend on the number of
// threads. Memory: panels are packed into one buffer per calling thread, which grows to the largest product seen and
// stays, so that no caller has to size and carry a workspace and a training step in steady state allocates nothing.
// Errors: std::invalid_argument for a combination of dtypes that is not listed above. Sizes and pointers are trusted.
//
// Measured on two cores of a Sapphire Rapids server, against the multiply-add peak taken beside every product, medians:
// all products of an i3-80M step (359 GFLOP), weighted, and the lowest single one (one of width 32: 0.6 % of the step).
// bench/gemm_bench measures this again.
//                               own            oneDNN 2.6     OpenBLAS 0.3.21
//   avx512, 2 threads           90 % (77 %)    88 % (70 %)    84 % (30 %)
//   avx2, 1 thread, CPU time    90 % (71 %)
//   x W^T for one x, W 35560 x 512: W is read at the pace of memory; for 8 x nearly twice the speed of oneDNN
//
// Which library computes a product is a pure function of the GemmPlan in force (gemm_plan.h); without one, our own.
#include <cstdint>

#include "kernels/gemm/gemm_epilogue.h"
#include "tensor/dtype.h"

namespace vigor {

enum class Transpose : uint8_t { no, yes };
enum class Accumulate : uint8_t { no, yes };

struct GemmInput {
  const void* data;
  Dtype dtype;
  int64_t ld;  // elements from one stored row to the next
  Transpose transpose;

  template <class T>
  GemmInput(const T* pointer, int64_t row_stride, Transpose t = Transpose::no)
      : data(pointer), dtype(dtype_of<T>), ld(row_stride), transpose(t) {}
  GemmInput(const void* pointer, Dtype type, int64_t row_stride, Transpose t = Transpose::no)
      : data(pointer), dtype(type), ld(row_stride), transpose(t) {}
};

struct GemmOutput {
  void* data;
  Dtype dtype;
  int64_t ld;
  Accumulate accumulate;

  template <class T>
  GemmOutput(T* pointer, int64_t row_stride, Accumulate acc = Accumulate::no)
      : data(pointer), dtype(dtype_of<T>), ld(row_stride), accumulate(acc) {}
  GemmOutput(void* pointer, Dtype type, int64_t row_stride, Accumulate acc = Accumulate::no)
      : data(pointer), dtype(type), ld(row_stride), accumulate(acc) {}
};

void gemm(int64_t m, int64_t n, int64_t k, const GemmInput& a, const GemmInput& b, const GemmOutput& c,
          const GemmEpilogue& epilogue = {});

// `count` products of one shape; matrix i starts i strides (in elements) after the first. A stride of 0 shares the
// matrix (not for C). Threads share the products out when there are enough of them.
void gemm_batched(int64_t count, int64_t m, int64_t n, int64_t k, const GemmInput& a, int64_t stride_a,
                  const GemmInput& b, int64_t stride_b, const GemmOutput& c, int64_t stride_c);

// out[n] (+)= sum over m of x[m,n]: the gradient of a bias. x and out f32 or bf16 in any mix (summed in
// f32), or both f64.
void column_sum(int64_t m, int64_t n, const GemmInput& x, const GemmOutput& out);

}  // namespace vigor
