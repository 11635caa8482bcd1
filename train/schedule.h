#pragma once
// Learning rate over a run: linear warm-up, then a cosine down to a share of the peak (the published i3 recipe).
#include <cstdint>

namespace vigor {

struct Schedule {
  double lr = 3e-4;
  double min_lr_ratio = 0.1;
  int64_t warmup_steps = 100;
  int64_t steps = 5000;

  // Step t counts from 0.  t < warmup: lr (t+1) / warmup.
  // Then, with r = (t - warmup) / (steps - warmup) in [0,1]:  lr (m + (1-m) (1 + cos(pi r)) / 2),  m = min_lr_ratio.
  double at(int64_t step) const;
};

}  // namespace vigor
