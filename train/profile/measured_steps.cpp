#include "train/profile/measured_steps.h"

#include "train/profile/machine.h"
#include "train/profile/nvtx_ranges.h"

namespace vigor {
namespace {

double unprofiled_seconds(Device device, const std::function<void()>& step) {
  synchronize(device);
  const double start = seconds_on(CLOCK_MONOTONIC);
  step();
  synchronize(device);
  return seconds_on(CLOCK_MONOTONIC) - start;
}

void profile_step(Profiler& profiler, Device device, const std::function<void()>& step) {
  profiler.begin_step();
  if (device.is_cpu()) {
    step();
  } else {
    if constexpr (kCudaBuild) {
      NvtxRanges ranges;
      const OpListenerScope listening(ranges);
      step();
    }
  }
  profiler.end_step();
}

}  // namespace

MeasuredSteps measure_steps(Device device, int64_t warmup, int64_t count, const std::function<void()>& prepare,
                            const std::function<void()>& step) {
  const auto unprofiled = [&] {
    prepare();
    return unprofiled_seconds(device, step);
  };
  for (int64_t i = 0; i < warmup; ++i) unprofiled();
  Profiler profiler(device);
  MeasuredSteps measured;
  for (int64_t i = 0; i < count; ++i) {
    const bool other_first = i % 2 == 1;  // neither kind is always the one behind the other
    if (other_first) measured.unprofiled.push_back(unprofiled());
    prepare();
    profile_step(profiler, device, step);
    if (!other_first) measured.unprofiled.push_back(unprofiled());
  }
  measured.profiled = profiler.take_steps();
  return measured;
}

}  // namespace vigor
