#include "kernels/emulator/environment.h"

#include <cfenv>

#include "kernels/emulator/instruction_table.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vigor::emulator {

// The handler is behind a pointer and works on memory, so no arithmetic moves across the changes of the environment.
#if defined(__x86_64__)

bool has_environment(uint32_t) { return true; }

void run_in_environment(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  constexpr uint32_t kRounding[] = {_MM_ROUND_NEAREST, _MM_ROUND_TOWARD_ZERO, _MM_ROUND_DOWN, _MM_ROUND_UP};
  constexpr uint32_t kFlush = _MM_FLUSH_ZERO_ON | 0x40;  // results, and inputs ("denormals are zero")
  const uint32_t before = _mm_getcsr();
  const uint32_t wanted = kRounding[instruction.environment & 3] | (instruction.environment & 4 ? kFlush : 0u);
  _mm_setcsr((before & ~(uint32_t{_MM_ROUND_MASK} | kFlush)) | wanted);
  instruction.inner(warp, instruction, lanes);
  _mm_setcsr(before);
}

#else

bool has_environment(uint32_t environment) { return (environment & 4) == 0; }

void run_in_environment(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  constexpr int kRounding[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  const int before = std::fegetround();
  std::fesetround(kRounding[instruction.environment & 3]);
  instruction.inner(warp, instruction, lanes);
  std::fesetround(before);
}

#endif

}  // namespace vigor::emulator
