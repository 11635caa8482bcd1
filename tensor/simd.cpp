#include "tensor/simd.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "tensor/check.h"

namespace vigor {
namespace {

constexpr std::array<Isa, 4> kBestFirst{Isa::avx512, Isa::avx2, Isa::neon, Isa::portable};

Isa detect() {
  const char* wanted = std::getenv("VIGOR_SIMD");
  for (Isa isa : kBestFirst) {
    if (!is_supported(isa)) continue;
    if (wanted == nullptr || *wanted == '\0' || std::string_view(wanted) == name_of(isa)) return isa;
  }
  fail("VIGOR_SIMD: must name an instruction set that this CPU has (portable, neon, avx2 or avx512); got {}", wanted);
}

std::atomic<Isa>& selected() {
  static std::atomic<Isa> isa{detect()};
  return isa;
}

}  // namespace

Isa current_isa() { return selected().load(std::memory_order_relaxed); }

bool is_supported(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return true;
#if defined(__x86_64__)
    // These ask the operating system, too, whether it saves the wide registers.
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return is_supported(Isa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
    case Isa::neon:
      return true;
#endif
    default:
      return false;
  }
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::neon:
      return "neon";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::portable:
      break;
  }
  return "portable";
}

IsaScope::IsaScope(Isa isa) : previous_(current_isa()) {
  check(is_supported(isa), "IsaScope: the CPU must have the instruction set; got {}", name_of(isa));
  selected() = isa;
}

IsaScope::~IsaScope() { selected() = previous_; }

}  // namespace vigor
