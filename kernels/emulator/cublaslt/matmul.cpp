// Entry points: the library's handle, the choice of an algorithm, and the product as work of a stream.
#include <cublasLt.h>

#include <cstring>
#include <iterator>
#include <memory>
#include <vector>

#include "kernels/emulator/cublaslt/epilogues.h"
#include "kernels/emulator/cublaslt/matmul_check.h"
#include "kernels/emulator/cublaslt/products.h"
#include "kernels/emulator/runtime/hooks.h"

using namespace vigor::emulator;

struct cublasLtContext {
  int unused = 0;  // handles only need to differ
};

namespace {

constexpr size_t kWorkspaceAlignment = 256;

// Calls action(address, bytes) for every line of the matrix in memory: gaps between lines are nobody's.
template <typename Action>
void for_each_line(const LayoutDescriptor& layout, const std::byte* data, Action&& action) {
  const bool by_column = layout.order == CUBLASLT_ORDER_COL;
  const uint64_t lines = by_column ? layout.columns : layout.rows, length = by_column ? layout.rows : layout.columns;
  const size_t unit = element_bytes(layout.type);
  if (length == static_cast<uint64_t>(layout.ld)) {
    action(data, lines * length * unit);
    return;
  }
  for (uint64_t line = 0; line < lines; ++line)
    action(data + line * static_cast<uint64_t>(layout.ld) * unit, length * unit);
}

// The begin of matrix `index` of the batch, for reading by the host; the checker hears of every line.
const std::byte* open_to_read(const LayoutDescriptor& layout, const std::byte* data, int64_t index, const char* name) {
  data += index * layout.batch_stride * static_cast<int64_t>(element_bytes(layout.type));
  const std::byte* host = nullptr;
  for_each_line(layout, data, [&](const std::byte* line, size_t bytes) {
    const auto* opened = static_cast<const std::byte*>(vigor_emulator_read(line, bytes, name));
    if (host == nullptr) host = opened;
  });
  return host;
}

std::byte* open_to_write(const LayoutDescriptor& layout, std::byte* data, int64_t index, const char* name) {
  data += index * layout.batch_stride * static_cast<int64_t>(element_bytes(layout.type));
  std::byte* host = nullptr;
  for_each_line(layout, data, [&](const std::byte* line, size_t bytes) {
    auto* opened = static_cast<std::byte*>(vigor_emulator_write(const_cast<std::byte*>(line), bytes, name));
    if (host == nullptr) host = opened;
  });
  return host;
}

MatrixView view(const LayoutDescriptor& layout, const std::byte* data, int32_t transpose) {
  const bool by_column = layout.order == CUBLASLT_ORDER_COL;
  MatrixView v{data,
               layout.type,
               static_cast<int64_t>(layout.rows),
               static_cast<int64_t>(layout.columns),
               by_column ? 1 : layout.ld,
               by_column ? layout.ld : 1};
  if (transpose != CUBLAS_OP_N) {
    std::swap(v.rows, v.columns);
    std::swap(v.row_stride, v.column_stride);
  }
  return v;
}

template <typename T>
T scale_value(const MatmulCall& call, const void* pointer) {
  if (call.product.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE) {
    pointer = vigor_emulator_read(pointer, sizeof(T), "cublasLtMatmul: alpha or beta");
  }
  T value;
  std::memcpy(&value, pointer, sizeof value);
  return value;
}

template <typename T>
Epilogue<T> open_epilogue(const MatmulCall& call, int64_t index, std::vector<T>& values, const MatrixView& a,
                          const MatrixView& b) {
  const ProductDescriptor& p = call.product;
  Epilogue<T> epilogue{p.epilogue, call.m(),           call.n(), values,          a,       b,
                       nullptr,    call.vector_type(), nullptr,  call.aux_type(), p.aux_ld};
  if (uses_vector(p.epilogue)) {
    const size_t unit = element_bytes(call.vector_type());
    std::byte* begin = static_cast<std::byte*>(p.bias) + index * p.bias_batch_stride * static_cast<int64_t>(unit);
    const size_t bytes = static_cast<size_t>(call.vector_length()) * unit;
    const auto open = writes_vector(p.epilogue) ? vigor_emulator_write : nullptr;
    epilogue.vector = open ? static_cast<std::byte*>(open(begin, bytes, "cublasLtMatmul: BIAS_POINTER"))
                           : static_cast<std::byte*>(
                                 const_cast<void*>(vigor_emulator_read(begin, bytes, "cublasLtMatmul: BIAS_POINTER")));
  }
  if (p.epilogue & kAux) {
    const bool bits = aux_is_bits(p.epilogue);
    const int64_t stride =
        bits ? p.aux_batch_stride / 8 : p.aux_batch_stride * static_cast<int64_t>(element_bytes(call.aux_type()));
    std::byte* begin = static_cast<std::byte*>(p.aux) + index * stride;
    const char* name = "cublasLtMatmul: EPILOGUE_AUX_POINTER";
    epilogue.aux = writes_aux(p.epilogue)
                       ? static_cast<std::byte*>(vigor_emulator_write(begin, call.aux_bytes(), name))
                       : static_cast<std::byte*>(const_cast<void*>(vigor_emulator_read(begin, call.aux_bytes(), name)));
  }
  return epilogue;
}

// D = epilogue(alpha op(A) op(B) + beta C), for every matrix of the batch. C is not read when beta is zero.
template <typename T>
void run_matmul(const MatmulCall& call) {
  const T alpha = scale_value<T>(call, call.alpha), beta = scale_value<T>(call, call.beta);
  for (int64_t index = 0; index < call.d.batch_count; ++index) {
    const MatrixView a =
        view(call.a, open_to_read(call.a, call.a_data, index, "cublasLtMatmul: A"), call.product.transpose_a);
    const MatrixView b =
        view(call.b, open_to_read(call.b, call.b_data, index, "cublasLtMatmul: B"), call.product.transpose_b);
    std::vector<T> values = multiply<T>(a, b);
    for (T& value : values) value *= alpha;
    if (beta != T(0)) {
      const MatrixView c = view(call.c, open_to_read(call.c, call.c_data, index, "cublasLtMatmul: C"), CUBLAS_OP_N);
      for (int64_t column = 0; column < call.n(); ++column) {
        for (int64_t row = 0; row < call.m(); ++row) {
          values[static_cast<size_t>(column * call.m() + row)] += beta * c.at<T>(row, column);
        }
      }
    }
    if (call.product.epilogue != CUBLASLT_EPILOGUE_DEFAULT) open_epilogue<T>(call, index, values, a, b).run();

    std::byte* out = open_to_write(call.d, call.d_data, index, "cublasLtMatmul: D");
    const MatrixView d = view(call.d, out, CUBLAS_OP_N);
    const size_t unit = element_bytes(d.type);
    for (int64_t column = 0; column < call.n(); ++column) {
      for (int64_t row = 0; row < call.m(); ++row) {
        const auto offset = static_cast<size_t>(row * d.row_stride + column * d.column_stride);
        store(d.type, out + offset * unit, values[static_cast<size_t>(column * call.m() + row)]);
      }
    }
  }
}

// A call that waits in a stream: alpha and beta of the host are kept by value.
struct WaitingMatmul {
  MatmulCall call;
  std::byte alpha[sizeof(double)], beta[sizeof(double)];
};

void run_waiting(void* context) {
  const MatmulCall& call = static_cast<WaitingMatmul*>(context)->call;
  call.is_double() ? run_matmul<double>(call) : run_matmul<float>(call);
}

void destroy_waiting(void* context) { delete static_cast<WaitingMatmul*>(context); }

cublasStatus_t issue(const MatmulCall& call, cudaStream_t stream) {
  auto waiting = std::make_unique<WaitingMatmul>();
  waiting->call = call;
  if (call.product.pointer_mode == CUBLASLT_POINTER_MODE_HOST) {
    const size_t bytes = call.is_double() ? sizeof(double) : sizeof(float);
    std::memcpy(waiting->alpha, call.alpha, bytes);
    std::memcpy(waiting->beta, call.beta, bytes);
    waiting->call.alpha = waiting->alpha;
    waiting->call.beta = waiting->beta;
  }
  const cudaError_t code = vigor_emulator_host_task(stream, run_waiting, destroy_waiting, waiting.release());
  return code == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!product || !a || !b || !c || !d || !preference || !results || !count || wanted <= 0) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  *count = 0;
  MatmulCall call;
  call.product = contents(product);
  call.a = contents(a), call.b = contents(b), call.c = contents(c), call.d = contents(d);
  const cublasStatus_t status = check_descriptors(call);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const PreferenceDescriptor& p = contents(preference);
  cublasLtMatmulHeuristicResult_t result{};
  const AlgorithmDescriptor algorithm{kAlgorithmMagic, p.alignment_a, p.alignment_b, p.alignment_c, p.alignment_d};
  std::memcpy(&result.algo, &algorithm, sizeof algorithm);
  result.state = CUBLAS_STATUS_SUCCESS;
  result.wavesCount = 1;
  results[0] = result;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!product || !a_layout || !b_layout || !c_layout || !d_layout) return CUBLAS_STATUS_INVALID_VALUE;
  MatmulCall call;
  call.product = contents(product);
  call.a = contents(a_layout), call.b = contents(b_layout), call.c = contents(c_layout), call.d = contents(d_layout);
  call.a_data = static_cast<const std::byte*>(a);
  call.b_data = static_cast<const std::byte*>(b);
  call.c_data = static_cast<const std::byte*>(c);
  call.d_data = static_cast<std::byte*>(d);
  call.alpha = alpha;
  call.beta = beta;
  cublasStatus_t status = check_descriptors(call);
  if (status != CUBLAS_STATUS_SUCCESS) return status;

  AlgorithmDescriptor algorithm{};
  if (algo != nullptr) {
    std::memcpy(&algorithm, algo, sizeof algorithm);
    if (algorithm.magic != kAlgorithmMagic) {
      explain("invalid: the algorithm does not come from cublasLtMatmulAlgoGetHeuristic");
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  status = check_pointers(call, algo != nullptr ? &algorithm : nullptr);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  // The stand-in uses no workspace, but the library would use what it is given.
  if (workspace_bytes > 0 && (reinterpret_cast<uintptr_t>(workspace) % kWorkspaceAlignment != 0 ||
                              !vigor_emulator_is_device_range(workspace, workspace_bytes))) {
    explain("invalid: the workspace is not device memory of its size, aligned to %zu bytes", kWorkspaceAlignment);
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return issue(call, stream);
}

size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
size_t cublasLtGetCudartVersion() { return CUDART_VERSION; }

cublasStatus_t cublasLtGetProperty(libraryPropertyType type, int* value) {
  const int parts[] = {CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH};
  if (value == nullptr || type < MAJOR_VERSION || type > PATCH_LEVEL) return CUBLAS_STATUS_INVALID_VALUE;
  *value = parts[type];
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown status";
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "the operation completed successfully";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "the function requires a feature absent from the device";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "an access to GPU memory space failed";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the GPU program failed to execute";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "a license error was detected";
  }
  return "unknown status";
}

}  // extern "C"
