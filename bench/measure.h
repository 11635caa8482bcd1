#pragma once
// What the benchmark programs measure with.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tensor/simd.h"
#include "tensor/threads.h"
#include "train/profile/machine.h"

namespace vigor {

// What two results must have in common to be compared, beside what Google Benchmark notes itself.
inline void add_context() {
#if defined(__clang__)
  benchmark::AddCustomContext("compiler", __VERSION__);
#else
  benchmark::AddCustomContext("compiler", "GCC " __VERSION__);
#endif
  benchmark::AddCustomContext("instruction_set", name_of(current_isa()));
  benchmark::AddCustomContext("threads", std::to_string(max_threads()));
}

}  // namespace vigor
