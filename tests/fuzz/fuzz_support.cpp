// What both kinds of programs share: the folder for input files, and the entry point that libFuzzer calls.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/fuzz.h"

namespace vigor {
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

const fs::path& put_file(const fs::path& path, std::string_view content) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0 || ::write(descriptor, content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    std::perror(path.c_str());
    std::abort();
  }
  ::close(descriptor);
  return path;
}

}  // namespace vigor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const vigor::Folder folder;
  vigor::fuzz_one({reinterpret_cast<const char*>(data), size}, folder.path());
  return 0;
}
