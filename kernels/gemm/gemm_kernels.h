#pragma once
// The parts of the own product, compiled for every instruction set. The driver in gemm_cpu.cpp cuts a product into
// blocks, and these work on one block:
//   gemm_pack_a   [m,k] of A into tiles of at most tile_rows rows, each stored k-major: tile[p * rows + i]
//   gemm_pack_b   [k,n] of B into panels of panel_columns columns, zero-padded: panel[p * panel_columns + j]
//   gemm_panel    all tiles of A against one panel of B with the micro-kernel, which keeps a tile of C in registers
#include <stdint.h>

#include "kernels/gemm/gemm_epilogue.h"
#include "tensor/simd.h"

namespace vigor {

// Sizes of the micro-kernel and of the blocks around it, in elements; gemm_block_simd.cpp gives the reasons.
struct GemmTiling {
  int64_t tile_rows, panel_columns;
  int64_t block_m, block_n, block_k;  // MC, NC, KC
};

// Memory that will be packed next, brought into the cache while the multipliers work: cache lines [begin, end) of
// `rows` rows of `row_bytes` each, counted row by row. Packing would otherwise wait for memory.
struct GemmPrefetch {
  const void* data = nullptr;
  int64_t row_bytes = 0, stride_bytes = 0;
  int64_t begin = 0, end = 0;
};

template <class T>
struct GemmPanel {
  int64_t m, n, k;  // n <= panel_columns
  const T* a;
  bool a_is_packed;       // otherwise (f32 only) as stored, with
  int64_t a_row, a_step;  //   elements from one row to the next, and from one k to the next
  const T* b;
  int64_t b_step;  // panel_columns for packed B; ldb for B as stored, where n must be panel_columns
  T* pack_b;       // where B as stored is packed while it is read (f32, whole panels, packed A); null: nowhere
  T* c;
  int64_t ldc;
  bool add;               // C += instead of C =
  GemmEpilogue epilogue;  // bias and pre of this part; none unless the sum over k ends here (f32 only)
  GemmPrefetch next_a, next_b;
};

// x [M,K] times W [N,K] transposed for few rows of x: columns [n_begin, n_end) of C [M,N] in f32.
template <class X, class W>
struct GemmFewRows {
  int64_t m, k;
  int64_t n_begin, n_end;
  const X* x;
  int64_t ldx;
  const W* w;
  int64_t ldw;
  float* c;
  int64_t ldc;
  bool add;
};
inline constexpr int64_t kFewRows = 8;  // largest m of GemmFewRows

// A packed tile spills up to this many elements behind its end; buffers are longer by it.
inline constexpr int64_t kPackSlack = 16;

// k_contiguous: neighbours along k are neighbours in memory, that is A as stored, or B transposed.
// clang-format off
VIGOR_PER_ISA(
    GemmTiling gemm_tiling(const float*);
    GemmTiling gemm_tiling(const double*);

    void gemm_pack_a(const float* a, int64_t lda, bool k_contiguous, int64_t m, int64_t k, float* packed);
    void gemm_pack_a(const bf16* a, int64_t lda, bool k_contiguous, int64_t m, int64_t k, float* packed);
    void gemm_pack_a(const double* a, int64_t lda, bool k_contiguous, int64_t m, int64_t k, double* packed);
    void gemm_pack_b(const float* b, int64_t ldb, bool k_contiguous, int64_t k, int64_t n, float* packed);
    void gemm_pack_b(const bf16* b, int64_t ldb, bool k_contiguous, int64_t k, int64_t n, float* packed);
    void gemm_pack_b(const double* b, int64_t ldb, bool k_contiguous, int64_t k, int64_t n, double* packed);

    void gemm_panel(const GemmPanel<float>& panel);
    void gemm_panel(const GemmPanel<double>& panel);

    void gemm_few_rows(const GemmFewRows<float, float>& p);
    void gemm_few_rows(const GemmFewRows<float, bf16>& p);
    void gemm_few_rows(const GemmFewRows<bf16, float>& p);
    void gemm_few_rows(const GemmFewRows<bf16, bf16>& p);

    // C [m,n] from S [m,n]; s may be c. pre has the row stride of C.
    void gemm_epilogue(const GemmEpilogue& e, int64_t m, int64_t n, const float* s, int64_t lds, float* c, int64_t ldc);
    void gemm_epilogue(const GemmEpilogue& e, int64_t m, int64_t n, const float* s, int64_t lds, bf16* c, int64_t ldc);

    void column_sum(int64_t m, int64_t n, const float* x, int64_t ldx, float* sum, bool add);
    void column_sum(int64_t m, int64_t n, const bf16* x, int64_t ldx, float* sum, bool add);
    void column_sum(int64_t m, int64_t n, const double* x, int64_t ldx, double* sum, bool add);)
// clang-format on

}  // namespace vigor
