#include "kernels/gemm/cublaslt_cuda.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/core.h>

#include <array>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

#include "tensor/cuda.h"

namespace vigor {
namespace {

// 32 MB is what the library's documentation asks for on the largest GPUs.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;

// ---- the library ----

// The functions in use, with the types of the toolkit's header and, for messages, its names.
struct LtFunctions {
  decltype(&::cublasLtCreate) cublasLtCreate;
  decltype(&::cublasLtGetStatusString) cublasLtGetStatusString;
  decltype(&::cublasLtMatmul) cublasLtMatmul;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) cublasLtMatmulAlgoGetHeuristic;
  decltype(&::cublasLtMatmulDescCreate) cublasLtMatmulDescCreate;
  decltype(&::cublasLtMatmulDescSetAttribute) cublasLtMatmulDescSetAttribute;
  decltype(&::cublasLtMatrixLayoutCreate) cublasLtMatrixLayoutCreate;
  decltype(&::cublasLtMatrixLayoutSetAttribute) cublasLtMatrixLayoutSetAttribute;
  decltype(&::cublasLtMatmulPreferenceCreate) cublasLtMatmulPreferenceCreate;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) cublasLtMatmulPreferenceSetAttribute;
  decltype(&::cublasLtMatmulPreferenceDestroy) cublasLtMatmulPreferenceDestroy;
};

void* open_library() {
  const std::string newest = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  std::string reasons;
  for (const char* name : {newest.c_str(), "libcublasLt.so"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", dlerror());
  }
  throw std::runtime_error(
      fmt::format("gemm: products on a GPU need cuBLASLt, part of the CUDA toolkit: {}. Put its folder on "
                  "LD_LIBRARY_PATH",
                  reasons));
}

template <class F>
void load(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr) throw std::runtime_error(fmt::format("gemm: cuBLASLt has no function {}", name));
}

const LtFunctions& lt() {
  static const LtFunctions functions = [] {
    void* const library = open_library();
    LtFunctions f{};
    load(library, "cublasLtCreate", f.cublasLtCreate);
    load(library, "cublasLtGetStatusString", f.cublasLtGetStatusString);
    load(library, "cublasLtMatmul", f.cublasLtMatmul);
    load(library, "cublasLtMatmulAlgoGetHeuristic", f.cublasLtMatmulAlgoGetHeuristic);
    load(library, "cublasLtMatmulDescCreate", f.cublasLtMatmulDescCreate);
    load(library, "cublasLtMatmulDescSetAttribute", f.cublasLtMatmulDescSetAttribute);
    load(library, "cublasLtMatrixLayoutCreate", f.cublasLtMatrixLayoutCreate);
    load(library, "cublasLtMatrixLayoutSetAttribute", f.cublasLtMatrixLayoutSetAttribute);
    load(library, "cublasLtMatmulPreferenceCreate", f.cublasLtMatmulPreferenceCreate);
    load(library, "cublasLtMatmulPreferenceSetAttribute", f.cublasLtMatmulPreferenceSetAttribute);
    load(library, "cublasLtMatmulPreferenceDestroy", f.cublasLtMatmulPreferenceDestroy);
    return f;
  }();
  return functions;
}

void check_lt(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  throw std::runtime_error(fmt::format("{} at {}:{}: {} (cuBLASLt status {})", call, file, line,
                                       lt().cublasLtGetStatusString(status), static_cast<int>(status)));
}
#define VIGOR_LT_CHECK(call) check_lt((call), #call, __FILE__, __LINE__)

// ---- a problem in the library's terms ----

// The library is column-major: what it reads at C is C^T, so it is asked for C^T = op(B)^T op(A)^T. Row-major B read in
// its order already is B^T; so the library's A is our B with our transpose of it, its B is our A, and its rows are our
// columns. The bias runs along its rows, and the sums of op(A)'s rows are those of its B (BGRADB).
struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;  // the library's
  cublasLtMatmulAlgo_t algorithm{};
  bool supported = false;
};

cudaDataType_t cuda_type(Dtype dtype) { return dtype == Dtype::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

cublasOperation_t operation_of(Transpose transpose) { return transpose == Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N; }

template <class T>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  VIGOR_LT_CHECK(lt().cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)));
}

// A row-major matrix stored in `rows` x `columns`.
cublasLtMatrixLayout_t layout(Dtype dtype, int64_t rows, int64_t columns, int64_t ld, int64_t count, int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  VIGOR_LT_CHECK(lt().cublasLtMatrixLayoutCreate(&made, cuda_type(dtype), static_cast<uint64_t>(columns),
                                                 static_cast<uint64_t>(rows), ld));
  if (count == 1) return made;
  const auto batch = static_cast<int32_t>(count);
  VIGOR_LT_CHECK(
      lt().cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof(batch)));
  VIGOR_LT_CHECK(lt().cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                                       sizeof(stride)));
  return made;
}

cublasLtMatmulPreference_t preference_for(const LtProblem& p) {
  cublasLtMatmulPreference_t made = nullptr;
  VIGOR_LT_CHECK(lt().cublasLtMatmulPreferenceCreate(&made));
  const auto set_to = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    VIGOR_LT_CHECK(lt().cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof(value)));
  };
  set_to(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  set_to(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p.alignment_b);
  set_to(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p.alignment_a);
  set_to(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p.alignment_c);
  set_to(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p.alignment_c);
  // A long sum that is split among blocks stays in f32 until its parts are added.
  set_to(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  return made;
}

// The vector of the epilogue differs from call to call; the search for an algorithm looks at its alignment.
void set_vector(const Plan& plan, const void* vector) {
  set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector);
}

Plan make_plan(cublasLtHandle_t handle, const LtProblem& p, const LtPointers& pointers) {
  Plan plan;
  const bool at = p.transpose_a == Transpose::yes, bt = p.transpose_b == Transpose::yes;
  const cublasComputeType_t compute = p.tf32 && p.in == Dtype::f32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  VIGOR_LT_CHECK(lt().cublasLtMatmulDescCreate(&plan.operation, compute, CUDA_R_32F));
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, operation_of(p.transpose_b));
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, operation_of(p.transpose_a));
  plan.a = layout(p.in, bt ? p.n : p.k, bt ? p.k : p.n, p.ldb, p.count, p.stride_b);
  plan.b = layout(p.in, at ? p.k : p.m, at ? p.m : p.k, p.lda, p.count, p.stride_a);
  plan.c = layout(p.out, p.m, p.n, p.ldc, p.count, p.stride_c);
  if (p.epilogue != LtEpilogue::none) {
    const cublasLtEpilogue_t epilogue =
        p.epilogue == LtEpilogue::bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_BGRADB;
    set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set_vector(plan, pointers.vector);
  }
  const cublasLtMatmulPreference_t preference = preference_for(p);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = lt().cublasLtMatmulAlgoGetHeuristic(handle, plan.operation, plan.a, plan.b, plan.c,
                                                                    plan.c, preference, 1, &found, &count);
  VIGOR_LT_CHECK(lt().cublasLtMatmulPreferenceDestroy(preference));
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) check_lt(status, "cublasLtMatmulAlgoGetHeuristic", __FILE__, __LINE__);
  plan.supported = status == CUBLAS_STATUS_SUCCESS && count > 0 && found.state == CUBLAS_STATUS_SUCCESS;
  plan.algorithm = found.algo;
  return plan;
}

// The handle, and a plan for every problem seen so far: a training step asks for the same few dozen again and again.
struct Library {
  cublasLtHandle_t handle = nullptr;
  std::mutex mutex;
  std::map<LtProblem, Plan> plans;
};

Library& library() {
  // Never destroyed, like the allocators: the GPU may be gone before static objects are.
  static Library& made = [&]() -> Library& {
    cuda_stream();  // first the clear error when there is no GPU
    auto* const library = new Library;
    VIGOR_LT_CHECK(lt().cublasLtCreate(&library->handle));
    return *library;
  }();
  return made;
}

}  // namespace

uint32_t lt_alignment(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data) | 16;
  return static_cast<uint32_t>(address & (~address + 1));  // the lowest bit that is set
}

GemmWorkspace gemm_workspace() {
  // Straight from CUDA: memory of an allocator scope would be gone with the scope.
  static void* const data = [] {
    void* memory = nullptr;
    VIGOR_CUDA_CHECK(cudaMalloc(&memory, kWorkspaceBytes));
    return memory;
  }();
  return {data, kWorkspaceBytes};
}

bool cublaslt_gemm(const LtProblem& problem, const LtPointers& pointers, bool accumulate) {
  Library& lib = library();
  const GemmWorkspace workspace = gemm_workspace();
  const std::lock_guard lock(lib.mutex);
  auto entry = lib.plans.find(problem);
  if (entry == lib.plans.end()) entry = lib.plans.emplace(problem, make_plan(lib.handle, problem, pointers)).first;
  Plan& plan = entry->second;
  if (!plan.supported) return false;
  if (problem.epilogue != LtEpilogue::none) set_vector(plan, pointers.vector);
  const float alpha = 1, beta = accumulate ? 1 : 0;
  const cublasStatus_t status =
      lt().cublasLtMatmul(lib.handle, plan.operation, &alpha, pointers.b, plan.a, pointers.a, plan.b, &beta, pointers.c,
                          plan.c, pointers.c, plan.c, &plan.algorithm, workspace.data, workspace.nbytes, cuda_stream());
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) {  // refused before anything was launched
    plan.supported = false;
    return false;
  }
  check_lt(status, "cublasLtMatmul", __FILE__, __LINE__);
  return true;
}

}  // namespace vigor
