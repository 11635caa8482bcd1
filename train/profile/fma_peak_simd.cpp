#include "train/profile/fma_peak.h"

namespace vigor::VIGOR_ISA {

// Latency 4 or 5 at two a cycle needs 8 to 10 independent sums; 12 still fit 16 registers.
constexpr int kSums = 12, kRounds = 1000;

int64_t fma_peak_count() { return kSums * kRounds * kLanes; }

float fma_peak_pass(float factor) {
  vfloat sum[kSums];
  for (int i = 0; i < kSums; ++i) sum[i] = broadcast(static_cast<float>(i));
  const vfloat f = broadcast(factor);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sum[i] = fma(sum[i], f, f);
  }
  vfloat total = zero();
  for (int i = 0; i < kSums; ++i) total += sum[i];
  return horizontal_sum(total);
}

}  // namespace vigor::VIGOR_ISA
