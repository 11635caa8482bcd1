// The checker's inner loops: one warp's access is a row of up to 256 cells.
#include "kernels/emulator/shadow.h"

// The loader takes the widest version that the processor has; 64-bit comparisons need AVX2 to be worth a vector.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define VIGOR_WIDE_VERSIONS [[gnu::target_clones("arch=x86-64-v4", "avx2", "default")]]
#else
#define VIGOR_WIDE_VERSIONS
#endif

namespace vigor::emulator {

VIGOR_WIDE_VERSIONS
bool any_suspicious(const Stamp* earlier, const Stamp* mine, uint64_t count, Past past) {
  uint64_t any = 0;
  for (uint64_t i = 0; i < count; ++i) any |= suspicious(earlier[i], mine[i], past) ? ~uint64_t{0} : 0;
  return any != 0;
}

VIGOR_WIDE_VERSIONS
void fill_stamps(Stamp* mine, Stamp first, uint64_t skipped, uint32_t cells_shift, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) mine[i] = first + ((skipped + i) >> cells_shift) * kStampLane;
}

VIGOR_WIDE_VERSIONS
ReadOutcome remember_reads(const Stamp* write, Stamp* read, Stamp* other_read, Stamp first, uint64_t skipped,
                           uint32_t cells_shift, uint64_t count, Past past) {
  const auto same_warp = [](Stamp a, Stamp b) { return ((a ^ b) >> (kThreadShift + 5) & 31) == 0; };
  const auto mine = [&](uint64_t i) { return first + ((skipped + i) >> cells_shift) * kStampLane; };
  uint64_t writes = 0, reads = 0;
  if (write) {
    for (uint64_t i = 0; i < count; ++i) writes |= suspicious(write[i], mine(i), past) ? ~uint64_t{0} : 0;
  }
  for (uint64_t i = 0; i < count; ++i) reads |= suspicious(read[i], mine(i), past) ? ~uint64_t{0} : 0;
  if (reads == 0) {
    for (uint64_t i = 0; i < count; ++i) read[i] = mine(i);
    return {writes != 0, false};
  }
  if (!other_read) return {writes != 0, true};
#pragma GCC ivdep
  for (uint64_t i = 0; i < count; ++i) {
    const Stamp r = read[i], other = other_read[i], m = mine(i);
    const bool keep_read = suspicious(r, m, past);
    // Both live, the first of this warp, the second not: the warp's newest reader takes the first place.
    const bool replace =
        keep_read & (time_of(r) >= past.start) & same_warp(r, m) & suspicious(other, m, past) & !same_warp(other, m);
    read[i] = !keep_read | replace ? m : r;
    other_read[i] = keep_read & !replace ? m : other;
  }
  return {writes != 0, false};
}

VIGOR_WIDE_VERSIONS
bool is_arithmetic(const uint64_t* addresses, uint64_t step) {
  uint64_t gap = 0;
  for (uint64_t i = 0; i < 32; ++i) gap |= addresses[i] ^ (addresses[0] + i * step);
  return gap == 0;
}

}  // namespace vigor::emulator
