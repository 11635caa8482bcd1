#pragma once
// Counters of the emulated device for programs that know it. Find the functions with dlsym: a GPU's runtime library
// does not have them (tests/support/emulator_counters.h does that).
#include <stdint.h>

extern "C" {

// Sums over all launches since the last reset. counters.h says what each number means.
struct vigor_emulator_counters {
  uint64_t launches;
  uint64_t warp_instructions, lane_instructions;
  uint64_t global_bytes_read, global_bytes_written;  // asked for by warps; caches are not modelled
  uint64_t global_requests, global_sectors;          // of 32 bytes
  uint64_t shared_requests, shared_bytes, shared_wavefronts, bank_conflicts;
  uint64_t local_bytes, atomics, divergent_branches, barriers;
};

// Waits for all work, forgets what was counted and counts from now on.
void vigor_emulator_reset_counters();

// Waits for all work; fills *counters with the sum over all kernels whose readable name contains `name_part`.
// 0, or -1 where nothing is counted (no reset before, and no VIGOR_EMULATOR_STATS).
int vigor_emulator_kernel_counters(const char* name_part, vigor_emulator_counters* counters);
}
