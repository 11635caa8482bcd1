#include "kernels/emulator/runtime/counters_api.h"

#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"
#include "kernels/emulator/runtime/streams.h"

using namespace vigor::emulator;

extern "C" {

void vigor_emulator_reset_counters() {
  entry([] {
    stream_table().synchronize_all();
    process_checker().counters().reset();
  });
}

int vigor_emulator_kernel_counters(const char* name_part, vigor_emulator_counters* counters) {
  if (!process_checker().counters().enabled()) return -1;
  entry([] { stream_table().synchronize_all(); });
  uint64_t launches = 0;
  const Counts counts = process_checker().counters().of_kernels(name_part, &launches);
  *counters = {launches,
               counts.warp_instructions,
               counts.lane_instructions,
               counts.global_bytes_read,
               counts.global_bytes_written,
               counts.global_requests,
               counts.global_sectors,
               counts.shared_requests,
               counts.shared_bytes,
               counts.shared_wavefronts,
               counts.bank_conflicts,
               counts.local_bytes,
               counts.atomics,
               counts.divergent_branches,
               counts.barriers};
  return 0;
}

}  // extern "C"
