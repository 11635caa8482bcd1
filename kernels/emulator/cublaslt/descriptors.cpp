// Entry points that make, change and destroy descriptors.
#include "kernels/emulator/cublaslt/descriptors.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace vigor::emulator {

uint64_t LayoutDescriptor::extent() const {
  if (rows == 0 || columns == 0) return 0;
  const bool by_column = order == CUBLASLT_ORDER_COL;
  return ((by_column ? columns : rows) - 1) * static_cast<uint64_t>(ld) + (by_column ? rows : columns);
}

LayoutDescriptor default_layout(cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld) {
  LayoutDescriptor layout{};
  layout.type = type;
  layout.order = CUBLASLT_ORDER_COL;
  layout.rows = rows;
  layout.columns = columns;
  layout.ld = ld;
  layout.batch_count = 1;
  return layout;
}

ProductDescriptor default_product(cublasComputeType_t compute_type, cudaDataType scale_type) {
  ProductDescriptor product{};
  product.compute_type = compute_type;
  product.scale_type = scale_type;
  product.fill_mode = CUBLAS_FILL_MODE_FULL;
  product.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  product.aux_type = product.bias_type = -1;
  return product;
}

PreferenceDescriptor default_preference() {
  constexpr uint32_t kAlignment = 256;
  return {CUBLASLT_SEARCH_BEST_FIT,
          CUBLASLT_REDUCTION_SCHEME_MASK,
          0,
          kAlignment,
          kAlignment,
          kAlignment,
          kAlignment,
          0,
          ~uint64_t{0}};
}

void explain(const char* format, ...) {
  const char* wanted = std::getenv("VIGOR_EMULATOR_VERBOSE");
  if (wanted == nullptr || std::strcmp(wanted, "1") != 0) return;
  std::va_list arguments;
  va_start(arguments, format);
  std::fputs("vigor emulator: cublasLt: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
}

namespace {

// One attribute of a descriptor: where it lies.
struct Field {
  void* data = nullptr;  // null: no such attribute
  size_t bytes = 0;
};

template <typename T>
Field field(T& member) {
  return {const_cast<void*>(static_cast<const void*>(&member)), sizeof member};
}

Field find_field(LayoutDescriptor& d, int attribute) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return field(d.type);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return field(d.order);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return field(d.rows);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return field(d.columns);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return field(d.ld);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return field(d.batch_count);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return field(d.batch_stride);
    case CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET:
      return field(d.plane_offset);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_MODE:
      return field(d.batch_mode);
    default:
      return {};
  }
}

Field find_field(ProductDescriptor& d, int attribute) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return field(d.compute_type);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return field(d.scale_type);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return field(d.pointer_mode);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return field(d.transpose_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return field(d.transpose_b);
    case CUBLASLT_MATMUL_DESC_TRANSC:
      return field(d.transpose_c);
    case CUBLASLT_MATMUL_DESC_FILL_MODE:
      return field(d.fill_mode);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return field(d.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return field(d.bias);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
      return field(d.bias_batch_stride);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return field(d.aux);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return field(d.aux_ld);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE:
      return field(d.aux_batch_stride);
    case CUBLASLT_MATMUL_DESC_ALPHA_VECTOR_BATCH_STRIDE:
      return field(d.alpha_vector_batch_stride);
    case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET:
      return field(d.sm_count_target);
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
      return field(d.a_scale);
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
      return field(d.b_scale);
    case CUBLASLT_MATMUL_DESC_C_SCALE_POINTER:
      return field(d.c_scale);
    case CUBLASLT_MATMUL_DESC_D_SCALE_POINTER:
      return field(d.d_scale);
    case CUBLASLT_MATMUL_DESC_AMAX_D_POINTER:
      return field(d.amax);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE:
      return field(d.aux_type);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_POINTER:
      return field(d.aux_scale);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_AMAX_POINTER:
      return field(d.aux_amax);
    case CUBLASLT_MATMUL_DESC_FAST_ACCUM:
      return field(d.fast_accumulation);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return field(d.bias_type);
    default:
      return {};
  }
}

Field find_field(PreferenceDescriptor& d, int attribute) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
      return field(d.search_mode);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return field(d.max_workspace_bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return field(d.reduction_scheme_mask);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return field(d.alignment_a);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return field(d.alignment_b);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return field(d.alignment_c);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return field(d.alignment_d);
    case CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT:
      return field(d.max_waves);
    case CUBLASLT_MATMUL_PREF_IMPL_MASK:
      return field(d.implementation_mask);
    default:
      return {};
  }
}

template <typename Handle>
cublasStatus_t set_attribute(Handle handle, int attribute, const void* value, size_t bytes) {
  if (handle == nullptr || value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Field target = find_field(contents(handle), attribute);
  if (target.data == nullptr || target.bytes != bytes) {
    explain("attribute %d: %s", attribute, target.data ? "its value has another size" : "not emulated");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(target.data, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

template <typename Handle>
cublasStatus_t get_attribute(Handle handle, int attribute, void* value, size_t bytes, size_t* written) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Field source = find_field(contents(handle), attribute);
  if (source.data == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes == 0 ? written == nullptr : value == nullptr || bytes != source.bytes) return CUBLAS_STATUS_INVALID_VALUE;
  if (written != nullptr) *written = source.bytes;
  if (bytes != 0) std::memcpy(value, source.data, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

template <typename Handle, typename Contents>
cublasStatus_t create(Handle* handle, const Contents& initial) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = new (std::nothrow) std::remove_pointer_t<Handle>{};
  if (*handle == nullptr) return CUBLAS_STATUS_ALLOC_FAILED;
  new (*handle) Contents(initial);
  return CUBLAS_STATUS_SUCCESS;
}

template <typename Handle, typename Contents>
cublasStatus_t initialize(Handle handle, size_t bytes, const Contents& initial) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes < sizeof initial) return CUBLAS_STATUS_ALLOC_FAILED;
  new (handle) Contents(initial);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace vigor::emulator

using namespace vigor::emulator;

extern "C" {

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
  return create(layout, default_layout(type, rows, columns, ld));
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t bytes, cudaDataType type,
                                                 uint64_t rows, uint64_t columns, int64_t ld) {
  return initialize(layout, bytes, default_layout(type, rows, columns, ld));
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  return set_attribute(layout, attribute, value, bytes);
}

cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, void* value, size_t bytes,
                                                size_t* written) {
  return get_attribute(layout, attribute, value, bytes, written);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* product, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return create(product, default_product(compute, scale));
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t product, size_t bytes, cublasComputeType_t compute,
                                               cudaDataType_t scale) {
  return initialize(product, bytes, default_product(compute, scale));
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
  delete product;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  return set_attribute(product, attribute, value, bytes);
}

cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
                                              void* value, size_t bytes, size_t* written) {
  return get_attribute(product, attribute, value, bytes, written);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return create(preference, default_preference());
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t bytes) {
  return initialize(preference, bytes, default_preference());
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  return set_attribute(preference, attribute, value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, void* value,
                                                    size_t bytes, size_t* written) {
  return get_attribute(preference, attribute, value, bytes, written);
}

}  // extern "C"
