#pragma once
// What the benchmark programs measure with.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "train/profile/fma_peak.h"

namespace vigor {

// Seconds on a clock: CLOCK_MONOTONIC, or the processor time of this process or thread, which leaves out what other
// programs had of the machine.
inline double seconds_on(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Of an even number of values the upper one of the middle two.
inline double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// Multiply-adds of all threads on registers alone, in FLOP/s, over about a millisecond.
inline double measure_peak(int threads, clockid_t clock) {
  constexpr int passes = 40;
  const double start = seconds_on(clock);
#pragma omp parallel num_threads(threads)
  for (int i = 0; i < passes; ++i) benchmark::DoNotOptimize(VIGOR_PICK(fma_peak_pass)(0.5f));
  return 2.0 * threads * passes * static_cast<double>(VIGOR_PICK(fma_peak_count)()) / (seconds_on(clock) - start);
}

}  // namespace vigor
