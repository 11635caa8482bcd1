#pragma once
// Is this product one that the library, and the stand-in, can compute?
#include <cstddef>

#include "kernels/emulator/cublaslt/descriptors.h"

namespace vigor::emulator {

// All that cublasLtMatmul is given.
struct MatmulCall {
  ProductDescriptor product;
  LayoutDescriptor a, b, c, d;
  const std::byte *a_data = nullptr, *b_data = nullptr, *c_data = nullptr;
  std::byte* d_data = nullptr;
  const void *alpha = nullptr, *beta = nullptr;

  int64_t m() const { return static_cast<int64_t>(d.rows); }
  int64_t n() const { return static_cast<int64_t>(d.columns); }
  int64_t k() const { return static_cast<int64_t>(product.transpose_a == CUBLAS_OP_N ? a.columns : a.rows); }
  cudaDataType vector_type() const {
    return product.bias_type < 0 ? d.type : static_cast<cudaDataType>(product.bias_type);
  }
  cudaDataType aux_type() const { return product.aux_type < 0 ? d.type : static_cast<cudaDataType>(product.aux_type); }
  bool is_double() const { return product.scale_type == CUDA_R_64F; }
  int64_t vector_length() const;
  size_t aux_bytes() const;  // of one matrix of the batch
};

// Types, shapes, layouts and the epilogue: all that the descriptors say. Explains a refusal.
cublasStatus_t check_descriptors(const MatmulCall& call);

// The pointers: alignment (`promised` may be null), and whether each matrix lies in one allocation. Memory that is too
// small is always reported on stderr, since a GPU would read or write whatever lies there.
cublasStatus_t check_pointers(const MatmulCall& call, const AlgorithmDescriptor* promised);

}  // namespace vigor::emulator
