#pragma once
// From what a Profiler recorded to a Profile: sums by operation, layer and phase, against the limits of the machine.
//
// All of them are of one step, the one whose time is the median, so that they add up: the seconds of all operations and
// "(between operations)" are the seconds of the step, and the timeline is that step's. Only `median_s` looks at the
// calls of all steps.
#include <span>
#include <string>
#include <vector>

#include "train/profile/machine.h"
#include "train/profile/profile.h"
#include "train/profile/profiler.h"

namespace vigor {

inline constexpr const char* kBetweenOperations = "(between operations)";

// Fills operations, layers, phases, memory, timeline and most of `step` of `profile`; std::logic_error without steps.
// `layer_kinds[i]` is the kind of "layers.i"; `tokens` are those of a step, for tokens_per_s. `unprofiled` are seconds
// of steps without a profiler, which may be none.
void summarize(Profile& profile, std::span<const RecordedStep> steps, std::span<const double> unprofiled,
               const MachinePeaks& peaks, std::span<const std::string> layer_kinds, double tokens);

// The calls of one step, for a profile or a trace.
std::vector<ProfileEvent> events_of(const RecordedStep& step);
// Memory in use at the beginning and end of every operation, and at its peak, drawn at its middle.
std::vector<ProfileMemory::Point> memory_of(const RecordedStep& step);

}  // namespace vigor
