#pragma once
// A trace for chrome://tracing, https://ui.perfetto.dev and Speedscope: the JSON of Google's Trace Event Format.
// On one track steps, in them phases, in them layers, in them operations, each with its shapes, FLOPs and bytes; and
// the memory in use as a counter.
#include <span>
#include <string>

#include "train/profile/profiler.h"

namespace vigor {

// `title` names the process.
std::string trace_json(const std::string& title, std::span<const RecordedStep> steps);

}  // namespace vigor
