#pragma once
// The other libraries behind gemm.h, and how the driver learns which one the plan in force names.
#include "kernels/gemm/gemm_plan.h"

namespace vigor {

// The library for a product of this shape, by the innermost GemmPlanScope of this thread.
GemmBackend planned_backend(const GemmShape& shape);

// Tells the innermost GemmCountScope of this thread, if there is one.
void count_product(const GemmShape& shape);

// C = op(A) op(B) + (add ? C : 0) by `backend`, which is not `own`.
void library_sgemm(GemmBackend backend, const GemmShape& shape, const float* a, int64_t lda, const float* b,
                   int64_t ldb, bool add, float* c, int64_t ldc);

}  // namespace vigor
