#pragma once
// What a program says about a product before it asks for one: the contents of cuBLASLt's opaque descriptors.
#include <cublasLt.h>

#include <cstdint>

namespace vigor::emulator {

struct LayoutDescriptor {
  cudaDataType type;
  int32_t order;  // cublasLtOrder_t
  uint64_t rows, columns;
  int64_t ld;
  int64_t batch_stride;  // elements from one matrix of the batch to the next
  int64_t plane_offset;
  int32_t batch_count;
  uint32_t batch_mode;

  // Elements of one matrix in memory, gaps included.
  uint64_t extent() const;
};

struct ProductDescriptor {
  int32_t compute_type, scale_type, pointer_mode;
  int32_t transpose_a, transpose_b, transpose_c;
  int32_t fill_mode;
  uint32_t epilogue;
  void* bias;
  int64_t bias_batch_stride;
  void* aux;
  int64_t aux_ld, aux_batch_stride;
  int64_t alpha_vector_batch_stride;
  int32_t sm_count_target;
  int32_t aux_type, bias_type;  // -1: the library's choice, the type of D
  const void *a_scale, *b_scale, *c_scale, *d_scale, *amax, *aux_scale, *aux_amax;
  int8_t fast_accumulation;
};

struct PreferenceDescriptor {
  uint32_t search_mode;
  uint32_t reduction_scheme_mask;
  uint64_t max_workspace_bytes;
  uint32_t alignment_a, alignment_b, alignment_c, alignment_d;
  float max_waves;
  uint64_t implementation_mask;
};

// What an algorithm remembers: the promises it was chosen under. The products themselves have one algorithm.
struct AlgorithmDescriptor {
  uint64_t magic;  // tells an algorithm of this library from uninitialised memory
  uint32_t alignment_a, alignment_b, alignment_c, alignment_d;
};
constexpr uint64_t kAlgorithmMagic = 0x7669676f72206c74;

inline LayoutDescriptor& contents(cublasLtMatrixLayout_t handle) {
  return *reinterpret_cast<LayoutDescriptor*>(handle);
}
inline ProductDescriptor& contents(cublasLtMatmulDesc_t handle) {
  return *reinterpret_cast<ProductDescriptor*>(handle);
}
inline PreferenceDescriptor& contents(cublasLtMatmulPreference_t handle) {
  return *reinterpret_cast<PreferenceDescriptor*>(handle);
}
static_assert(sizeof(LayoutDescriptor) <= sizeof(cublasLtMatrixLayoutOpaque_t));
static_assert(sizeof(ProductDescriptor) <= sizeof(cublasLtMatmulDescOpaque_t));
static_assert(sizeof(PreferenceDescriptor) <= sizeof(cublasLtMatmulPreferenceOpaque_t));
static_assert(sizeof(AlgorithmDescriptor) <= sizeof(cublasLtMatmulAlgo_t));

// The library's defaults.
LayoutDescriptor default_layout(cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld);
ProductDescriptor default_product(cublasComputeType_t compute_type, cudaDataType scale_type);
PreferenceDescriptor default_preference();

// "cublasLt: " + line on stderr, where VIGOR_EMULATOR_VERBOSE=1 asks why something was refused.
void explain(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace vigor::emulator
