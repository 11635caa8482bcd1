// What the emulated device says when the program ends.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/emulator/runtime/device.h"

namespace {

// Runs after the program's own destructors and exit functions, which may still free memory: the library was loaded
// before them.
[[gnu::destructor]] void report_leaks() {
  const char* wanted = std::getenv("VIGOR_EMULATOR_LEAKS");
  if (wanted == nullptr || std::strcmp(wanted, "1") != 0) return;
  std::fputs(vigor::emulator::leak_report(vigor::emulator::device_memory()).c_str(), stderr);
}

}  // namespace
