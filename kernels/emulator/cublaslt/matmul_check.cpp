#include "kernels/emulator/cublaslt/matmul_check.h"

#include <cstdio>

#include "kernels/emulator/cublaslt/elements.h"
#include "kernels/emulator/cublaslt/epilogues.h"
#include "kernels/emulator/runtime/hooks.h"

namespace vigor::emulator {
namespace {

cublasStatus_t unsupported(const char* what) {
  explain("not supported: %s", what);
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t invalid(const char* what) {
  explain("invalid: %s", what);
  return CUBLAS_STATUS_INVALID_VALUE;
}

// The library's table of types: what A and B, and C and D, may be under a compute type.
bool types_fit(const MatmulCall& call) {
  const cudaDataType in = call.a.type, out = call.d.type;
  if (call.b.type != in || call.c.type != out) return false;
  switch (call.product.compute_type) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return call.product.scale_type == CUDA_R_32F &&
             ((in == CUDA_R_32F && out == CUDA_R_32F) ||
              ((in == CUDA_R_16BF || in == CUDA_R_16F) && (out == in || out == CUDA_R_32F)));
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
      return call.product.scale_type == CUDA_R_32F && in == CUDA_R_32F && out == CUDA_R_32F;
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      return call.product.scale_type == CUDA_R_64F && in == CUDA_R_64F && out == CUDA_R_64F;
    default:
      return false;
  }
}

cublasStatus_t check_layout(const LayoutDescriptor& layout, int32_t batch_count) {
  if (layout.order != CUBLASLT_ORDER_COL && layout.order != CUBLASLT_ORDER_ROW) return unsupported("a tiled order");
  if (layout.plane_offset != 0) return unsupported("planar complex numbers");
  if (layout.batch_mode != CUBLASLT_BATCH_MODE_STRIDED) return unsupported("batches by arrays of pointers");
  const uint64_t inner = layout.order == CUBLASLT_ORDER_COL ? layout.rows : layout.columns;
  if (layout.ld < 0 || static_cast<uint64_t>(layout.ld) < inner) return invalid("a leading dimension below the matrix");
  if (layout.rows == 0 || layout.columns == 0) return invalid("an empty matrix");
  if (layout.batch_count != batch_count) return invalid("batch counts that differ");
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_shapes(const MatmulCall& call) {
  for (const LayoutDescriptor* layout : {&call.a, &call.b, &call.c, &call.d}) {
    const cublasStatus_t status = check_layout(*layout, call.d.batch_count);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
  }
  if (call.d.batch_count < 1) return invalid("a batch of none");
  const bool at = call.product.transpose_a != CUBLAS_OP_N, bt = call.product.transpose_b != CUBLAS_OP_N;
  const uint64_t a_rows = at ? call.a.columns : call.a.rows, a_columns = at ? call.a.rows : call.a.columns;
  const uint64_t b_rows = bt ? call.b.columns : call.b.rows, b_columns = bt ? call.b.rows : call.b.columns;
  if (a_columns != b_rows || a_rows != call.d.rows || b_columns != call.d.columns)
    return invalid("shapes that do not fit");
  if (call.c.rows != call.d.rows || call.c.columns != call.d.columns || call.c.order != call.d.order) {
    return invalid("C and D of different shape or order");
  }
  if (call.d.batch_count > 1 && static_cast<uint64_t>(call.d.batch_stride) < call.d.extent()) {
    return invalid("matrices of D that overlap");
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_epilogue(const MatmulCall& call) {
  const uint32_t epilogue = call.product.epilogue;
  if (!is_known_epilogue(epilogue)) return unsupported("this epilogue");
  if (epilogue == CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_SUCCESS;
  // Its vector runs along D's rows of column-major memory; what the library does in other orders is not documented.
  if (call.d.order != CUBLASLT_ORDER_COL) return unsupported("an epilogue with row-major D");
  if (uses_vector(epilogue) && call.vector_type() != call.d.type) return unsupported("a vector of another type than D");
  if ((epilogue & kAux) == 0) return CUBLAS_STATUS_SUCCESS;
  if (!aux_is_bits(epilogue) && call.aux_type() != call.d.type)
    return unsupported("an auxiliary matrix of another type");
  const int64_t multiple = aux_is_bits(epilogue) ? 128 : 8;
  if (call.product.aux_ld % multiple != 0 || call.product.aux_ld < call.m()) {
    return invalid("EPILOGUE_AUX_LD: a multiple of 128 (ReLU) or 8 (GELU), no less than the rows of D");
  }
  if (call.product.aux_batch_stride % multiple != 0) return invalid("EPILOGUE_AUX_BATCH_STRIDE");
  return CUBLAS_STATUS_SUCCESS;
}

// --- pointers ---

bool aligned(const void* address, size_t bytes) {
  return bytes == 0 || reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

// The whole batch of a matrix in one allocation each; always reported, see the header.
bool in_memory(const char* name, const void* data, int64_t batch_stride, int32_t batch_count, size_t bytes,
               size_t unit) {
  for (int64_t i = 0; i < batch_count; ++i) {
    const auto* begin = static_cast<const std::byte*>(data) + i * batch_stride * static_cast<int64_t>(unit);
    if (data != nullptr && vigor_emulator_is_device_range(begin, bytes)) continue;
    std::fprintf(stderr,
                 "vigor emulator: cublasLtMatmul: %s (matrix %lld of the batch) needs %zu bytes at %p; they are not in "
                 "one allocation of the device\n",
                 name, static_cast<long long>(i), bytes, static_cast<const void*>(begin));
    return false;
  }
  return true;
}

bool in_memory(const char* name, const LayoutDescriptor& layout, const void* data) {
  const size_t unit = element_bytes(layout.type);
  return in_memory(name, data, layout.batch_stride, layout.batch_count, layout.extent() * unit, unit);
}

cublasStatus_t check_epilogue_pointers(const MatmulCall& call) {
  const ProductDescriptor& p = call.product;
  if (uses_vector(p.epilogue)) {
    const size_t unit = element_bytes(call.vector_type());
    const size_t bytes = static_cast<size_t>(call.vector_length()) * unit;
    if (!aligned(p.bias, unit)) return invalid("the alignment of BIAS_POINTER");
    if (!in_memory("BIAS_POINTER", p.bias, p.bias_batch_stride, call.d.batch_count, bytes, unit)) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  if (p.epilogue & kAux) {
    if (!aligned(p.aux, 16)) return invalid("EPILOGUE_AUX_POINTER is not a multiple of 16");
    const bool bits = aux_is_bits(p.epilogue);
    const int64_t stride = bits ? p.aux_batch_stride / 8 : p.aux_batch_stride;
    const size_t unit = bits ? 1 : element_bytes(call.aux_type());
    if (!in_memory("EPILOGUE_AUX_POINTER", p.aux, stride, call.d.batch_count, call.aux_bytes(), unit)) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

int64_t MatmulCall::vector_length() const { return (product.epilogue & kSumsOfB) ? n() : m(); }

size_t MatmulCall::aux_bytes() const {
  const auto ld = static_cast<size_t>(product.aux_ld), rows = static_cast<size_t>(m()),
             columns = static_cast<size_t>(n());
  const size_t elements = (columns - 1) * ld + rows;
  return aux_is_bits(product.epilogue) ? (elements + 7) / 8 : elements * element_bytes(aux_type());
}

cublasStatus_t check_descriptors(const MatmulCall& call) {
  const ProductDescriptor& p = call.product;
  if (!types_fit(call)) return unsupported("this combination of compute, scale and element types");
  if (p.pointer_mode != CUBLASLT_POINTER_MODE_HOST && p.pointer_mode != CUBLASLT_POINTER_MODE_DEVICE) {
    return unsupported("vectors of alpha or beta");
  }
  if (p.transpose_c != CUBLAS_OP_N) return unsupported("a transposed C");
  if (p.fill_mode != CUBLAS_FILL_MODE_FULL) return unsupported("a fill mode");
  if (p.a_scale || p.b_scale || p.c_scale || p.d_scale || p.amax || p.aux_scale || p.aux_amax || p.fast_accumulation) {
    return invalid("scale factors, which only 8-bit types have");
  }
  for (const int32_t transpose : {p.transpose_a, p.transpose_b}) {
    if (transpose < CUBLAS_OP_N || transpose > CUBLAS_OP_C) return invalid("an unknown transposition");
  }
  const cublasStatus_t status = check_shapes(call);
  return status == CUBLAS_STATUS_SUCCESS ? check_epilogue(call) : status;
}

cublasStatus_t check_pointers(const MatmulCall& call, const AlgorithmDescriptor* promised) {
  if (call.alpha == nullptr || call.beta == nullptr) return invalid("alpha or beta is null");
  struct Operand {
    const char* name;
    const LayoutDescriptor& layout;
    const void* data;
    uint32_t promised;
  };
  const AlgorithmDescriptor none{};
  const AlgorithmDescriptor& alignment = promised != nullptr ? *promised : none;
  const Operand operands[] = {{"A", call.a, call.a_data, alignment.alignment_a},
                              {"B", call.b, call.b_data, alignment.alignment_b},
                              {"C", call.c, call.c_data, alignment.alignment_c},
                              {"D", call.d, call.d_data, alignment.alignment_d}};
  for (const Operand& operand : operands) {
    if (!aligned(operand.data, element_bytes(operand.layout.type)))
      return invalid("a pointer off its element's alignment");
    if (!aligned(operand.data, operand.promised)) {
      explain("%s = %p is not a multiple of %u, the alignment that the algorithm was chosen for", operand.name,
              operand.data, operand.promised);
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (!in_memory(operand.name, operand.layout, operand.data)) return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (call.c_data == call.d_data && (call.c.ld != call.d.ld || call.c.batch_stride != call.d.batch_stride)) {
    return invalid("C and D at one address with different layouts");
  }
  return check_epilogue_pointers(call);
}

}  // namespace vigor::emulator
