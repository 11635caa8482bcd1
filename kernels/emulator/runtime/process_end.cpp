// What the emulated device says when the program ends.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/emulator/runtime/device.h"

namespace vigor::emulator {
namespace {

void report_leaks() {
  const char* wanted = std::getenv("VIGOR_EMULATOR_LEAKS");
  if (wanted == nullptr || std::strcmp(wanted, "1") != 0) return;
  std::fputs(leak_report(device_memory()).c_str(), stderr);
}

void write_counters() {
  const char* path = std::getenv("VIGOR_EMULATOR_STATS");
  if (path == nullptr || *path == '\0') return;
  // "-" is stderr: the program's own output stays as it is.
  std::FILE* file = std::strcmp(path, "-") == 0 ? stderr : std::fopen(path, "w");
  if (file == nullptr) {
    std::fprintf(stderr, "vigor emulator: cannot write VIGOR_EMULATOR_STATS=%s\n", path);
    return;
  }
  std::fputs(process_checker().counters().table().c_str(), file);
  if (file != stderr) std::fclose(file);
}

// Runs after the program's own destructors and exit functions, which may still free memory: the library was loaded
// before them.
[[gnu::destructor]] void report_at_end() {
  report_leaks();
  write_counters();
}

}  // namespace
}  // namespace vigor::emulator
