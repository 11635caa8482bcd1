#pragma once
// Steps measured in turn with and without a profiler, so that whatever else the machine does strikes both.
#include <cstdint>
#include <functional>
#include <vector>

#include "train/profile/profiler.h"

namespace vigor {

struct MeasuredSteps {
  std::vector<RecordedStep> profiled;
  std::vector<double> unprofiled;  // seconds
};

// Runs `warmup` steps, then `count` of each kind. `prepare` runs before each step and is no part of it. On a GPU the
// profiled ones are also NVTX ranges.
MeasuredSteps measure_steps(Device device, int64_t warmup, int64_t count, const std::function<void()>& prepare,
                            const std::function<void()>& step);

}  // namespace vigor
