#include "train/profile/read_probe.h"

namespace vigor::VIGOR_ISA {

float read_probe(const float* x, int64_t n) {
  constexpr int kSums = 8;
  vfloat sum[kSums];
  for (int i = 0; i < kSums; ++i) sum[i] = zero();
  for (int64_t at = 0; at + kSums * kLanes <= n; at += kSums * kLanes) {
#pragma GCC unroll 8
    for (int i = 0; i < kSums; ++i) sum[i] += load(x + at + i * kLanes);
  }
  vfloat total = zero();
  for (int i = 0; i < kSums; ++i) total += sum[i];
  return horizontal_sum(total);
}

void update_probe(float* x, int64_t n) {
  const vfloat nothing = broadcast(0.0f);
#pragma GCC unroll 8
  for (int64_t at = 0; at + kLanes <= n; at += kLanes) store(x + at, load(x + at) + nothing);
}

}  // namespace vigor::VIGOR_ISA
