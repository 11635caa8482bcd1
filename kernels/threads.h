#pragma once
// Threads of a parallel region, for kernels with scratch memory a thread.
#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace vigor {

inline int64_t max_threads() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

inline int64_t thread_index() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

}  // namespace vigor
