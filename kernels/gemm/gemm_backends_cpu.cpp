#include "kernels/gemm/gemm_backends.h"

#include "tensor/check.h"

#if defined(VIGOR_HAVE_ONEDNN)
#include <dnnl.h>
#endif
#if defined(VIGOR_HAVE_CBLAS)
#include <cblas.h>
#endif

namespace vigor {

bool is_available(GemmBackend backend) {
  switch (backend) {
    case GemmBackend::own:
      return true;
    case GemmBackend::onednn:
#if defined(VIGOR_HAVE_ONEDNN)
      return true;
#else
      return false;
#endif
    case GemmBackend::cblas:
      break;
  }
#if defined(VIGOR_HAVE_CBLAS)
  return true;
#else
  return false;
#endif
}

#if defined(VIGOR_HAVE_ONEDNN)
static void onednn_sgemm(const GemmShape& s, const float* a, int64_t lda, const float* b, int64_t ldb, bool add,
                         float* c, int64_t ldc) {
  const dnnl_status_t status =
      dnnl_sgemm(s.transpose_a == Transpose::yes ? 'T' : 'N', s.transpose_b == Transpose::yes ? 'T' : 'N', s.m, s.n,
                 s.k, 1.0f, a, lda, b, ldb, add ? 1.0f : 0.0f, c, ldc);
  if (status != dnnl_success) throw std::runtime_error(fmt::format("gemm: oneDNN failed with status {}", int{status}));
}
#endif

#if defined(VIGOR_HAVE_CBLAS)
static void cblas_product(const GemmShape& s, const float* a, int64_t lda, const float* b, int64_t ldb, bool add,
                          float* c, int64_t ldc) {
  cblas_sgemm(CblasRowMajor, s.transpose_a == Transpose::yes ? CblasTrans : CblasNoTrans,
              s.transpose_b == Transpose::yes ? CblasTrans : CblasNoTrans, static_cast<int>(s.m), static_cast<int>(s.n),
              static_cast<int>(s.k), 1.0f, a, static_cast<int>(lda), b, static_cast<int>(ldb), add ? 1.0f : 0.0f, c,
              static_cast<int>(ldc));
}
#endif

void library_sgemm([[maybe_unused]] GemmBackend backend, [[maybe_unused]] const GemmShape& shape,
                   [[maybe_unused]] const float* a, [[maybe_unused]] int64_t lda, [[maybe_unused]] const float* b,
                   [[maybe_unused]] int64_t ldb, [[maybe_unused]] bool add, [[maybe_unused]] float* c,
                   [[maybe_unused]] int64_t ldc) {
#if defined(VIGOR_HAVE_ONEDNN)
  if (backend == GemmBackend::onednn) return onednn_sgemm(shape, a, lda, b, ldb, add, c, ldc);
#endif
#if defined(VIGOR_HAVE_CBLAS)
  if (backend == GemmBackend::cblas) return cblas_product(shape, a, lda, b, ldb, add, c, ldc);
#endif
  fail("gemm: the library must be built in; got {}", name_of(backend));
}

}  // namespace vigor
