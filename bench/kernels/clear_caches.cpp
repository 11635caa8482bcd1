#include "bench/kernels/clear_caches.h"

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>

#include "tensor/tensor.h"
#include "train/profile/read_probe.h"

namespace vigor {
namespace {

// The second level of two cores, and the third, which all share; where the system does not know them, more than most
// have.
int64_t floats_beyond_caches() {
  int64_t bytes = 0;
  for (const int level : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE})
    bytes += std::max<int64_t>(0, sysconf(level));
  return std::max<int64_t>(bytes, 64 << 20) / 4 + (1 << 20);
}

}  // namespace

void clear_caches() {
  static const Tensor memory = full({floats_beyond_caches()}, 1);
  const int64_t n = memory.numel();
  constexpr int64_t kParts = 64;
  float sum = 0;
#pragma omp parallel for reduction(+ : sum) schedule(static)
  for (int64_t part = 0; part < kParts; ++part) {
    const int64_t begin = n * part / kParts, end = n * (part + 1) / kParts;
    sum += VIGOR_PICK(read_probe)(memory.data<float>() + begin, end - begin);
  }
  benchmark::DoNotOptimize(sum);
}

}  // namespace vigor
