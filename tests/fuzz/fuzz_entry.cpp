// The entry point that libFuzzer (or replay_main.cpp) calls, for targets that define fuzz_one. A target may also define
// LLVMFuzzerTestOneInput itself; this file is then left in its library.
#include <unistd.h>

#include <cstdint>

#include "tests/fuzz/fuzz.h"
#include "tests/support/temporary_folder.h"

namespace {

namespace fs = std::filesystem;

// In memory where that is possible: a folder is written for every input.
fs::path fastest_parent() { return ::access("/dev/shm", W_OK) == 0 ? fs::path("/dev/shm") : fs::temp_directory_path(); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const vigor::testing::TemporaryFolder folder(fastest_parent());
  vigor::fuzz_one({reinterpret_cast<const char*>(data), size}, folder.path());
  return 0;
}
