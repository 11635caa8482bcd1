#include "bench/kernels/read_memory.h"

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "bench/measure.h"
#include "train/profile/read_probe.h"

namespace vigor {
namespace {

// Twice the second level, whose share each core has, and once the third, which all share; where the system does not
// know them, more than most have.
int64_t floats_beyond_caches() {
  int64_t bytes = 0;
  for (const int level : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE})
    bytes += std::max<int64_t>(0, sysconf(level));
  return std::max<int64_t>(bytes, 64 << 20) / 4 + (1 << 20);
}

}  // namespace

double read_memory() {
  static const std::vector<float> memory(static_cast<size_t>(floats_beyond_caches()), 1.0f);
  const int64_t n = static_cast<int64_t>(memory.size());
  constexpr int64_t kParts = 64;
  float sum = 0;
  const double start = seconds_on(CLOCK_MONOTONIC);
#pragma omp parallel for reduction(+ : sum) schedule(static)
  for (int64_t part = 0; part < kParts; ++part) {
    const int64_t begin = n * part / kParts, end = n * (part + 1) / kParts;
    sum += VIGOR_PICK(read_probe)(memory.data() + begin, end - begin);
  }
  benchmark::DoNotOptimize(sum);
  return 4.0 * static_cast<double>(n) / (seconds_on(CLOCK_MONOTONIC) - start);
}

}  // namespace vigor
