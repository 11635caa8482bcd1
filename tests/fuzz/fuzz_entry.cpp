// The entry point that libFuzzer (or replay_main.cpp) calls, for targets that define fuzz_one. A target may also define
// LLVMFuzzerTestOneInput itself; this file is then left in its library.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "tests/fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    const fs::path parent = ::access("/dev/shm", W_OK) == 0 ? fs::path("/dev/shm") : fs::temp_directory_path();
    std::string name = (parent / "vigor-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  vigor::fuzz_one({reinterpret_cast<const char*>(data), size}, folder.path());
  return 0;
}
