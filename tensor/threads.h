#pragma once
// Threads of a CPU: loops shared out among them, and their numbers for kernels with scratch memory a thread.
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

// Calls f(me, team) on `threads` threads, for me = 0 .. team - 1. One thread is the calling one, without OpenMP: a
// parallel region of one, which is what an if clause leaves, is not free. libgomp makes a team for it, at a quarter of
// a microsecond, and a step of a small model would have a hundred of them.
template <class F>
void on_threads(int64_t threads, F&& f) {
#if defined(_OPENMP)
  if (threads > 1) {
#pragma omp parallel num_threads(static_cast <int>(threads))
    f(int64_t{omp_get_thread_num()}, int64_t{omp_get_num_threads()});
    return;
  }
#endif
  static_cast<void>(threads);
  f(int64_t{0}, int64_t{1});
}

// Calls f(i) for every i in [0, n): with the threads sharing the range out in equal runs when that `pays`, else one
// after the other and without OpenMP, as above.
template <class F>
void parallel_for(int64_t n, bool pays, F&& f) {
  if (!pays || n <= 1 || max_threads() == 1) {
    for (int64_t i = 0; i < n; ++i) f(i);
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; ++i) f(i);
}

// The same for rounds of unequal length: each thread takes the next one when it is done.
template <class F>
void parallel_tasks(int64_t n, bool pays, F&& f) {
  if (!pays || n <= 1 || max_threads() == 1) {
    for (int64_t i = 0; i < n; ++i) f(i);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < n; ++i) f(i);
}

}  // namespace vigor
