#pragma once
// Files that survive a crash: memory-mapped reading, and writing that shows either the old content or the new one.
//
// Errors: std::runtime_error "cannot <action> <path>: <reason of the system>" when the system refuses (missing file,
// no permission, full disk); std::invalid_argument when the path itself breaks a rule (a folder where a file belongs).
//
// A temporary is called `<name>.tmp-<8 hex digits>`, lies beside its target, and is locked (flock) by its writer. What
// a killed writer left behind is therefore recognised by its free lock and removed by the next writer of that target.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vigor {

// A file's bytes, mapped into memory. Shared, so that tensors made from the bytes keep them alive. The mapping is
// private: whoever writes to such a tensor gets copies of the touched pages, never a changed file. Writers here replace
// files by rename and never change them in place, so a mapping keeps its content while the file is being replaced.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, nbytes_}; }  // starts at a page boundary; may be empty
  // Asks the system to read these bytes, a part of bytes(), from the disk in the background, where they are not in
  // memory yet. A hint: without effect when the system cannot.
  void prefetch(std::span<const std::byte> part) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t nbytes_ = 0;
};

// The whole file as text; std::invalid_argument when it has more than `max_bytes`, which also bounds the memory.
std::string read_text(const std::filesystem::path& path, size_t max_bytes);

// Text that came from a file, fit for one line of an error message: control characters become '?', and it is cut.
std::string printable(std::string_view text, size_t max_length = 80);

// A temporary file or folder, open and locked; see the head of this file. The two writers below are built on it.
class Temporary {
 public:
  enum class Kind { file, folder };
  Temporary(const std::filesystem::path& target, Kind kind);
  ~Temporary();  // removes it, unless release() was called
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  void release();  // it has been renamed: unlock, and leave it alone

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Writes a file under a temporary name; commit() syncs it and renames it over `path`. Until then, and after any error
// (a full disk shows up in write() or commit()), `path` is untouched; the destructor removes the temporary.
//   AtomicFile file(path);  file.write(text);  file.commit();
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  void commit();  // once, last

 private:
  void write_through(const std::byte* data, size_t nbytes);
  void flush_buffer();
  std::filesystem::path target_;
  Temporary temporary_;
  std::vector<std::byte> buffer_;
  uint64_t written_ = 0;  // bytes handed to the system
};

// AtomicFile with all of its content at once.
void write_file(const std::filesystem::path& path, std::string_view content);

// A folder of files that belong together (a checkpoint). The caller writes into path(); commit() makes it `target`.
//
// Protocol of commit(), safe against a kill or a power cut at any moment:
//   1. sync every file and folder below path(), so that a rename never overtakes content;
//   2. `target` absent: rename path() to it. `target` present: swap the two names in one step (RENAME_EXCHANGE), then
//      delete what was `target` before. The name `target` is a complete folder throughout;
//   3. file systems without the swap: rename `target` to `<target>.tmp-previous`, rename path() to `target`, delete
//      `<target>.tmp-previous`. Between the two renames only `<target>.tmp-previous` exists, hence the rule for
//      readers:
// find_folder(target) is `target` if it exists, else `<target>.tmp-previous` if that exists, else an error.
class AtomicFolder {
 public:
  enum class Replace { swap_if_possible, two_renames };  // the second always takes step 3
  explicit AtomicFolder(const std::filesystem::path& target, Replace replace = Replace::swap_if_possible);

  const std::filesystem::path& path() const { return temporary_.path(); }
  void commit();  // once, last; without it the destructor removes everything

 private:
  std::filesystem::path target_;
  Replace replace_;
  Temporary temporary_;
};

std::filesystem::path find_folder(const std::filesystem::path& target);
bool has_folder(const std::filesystem::path& target);  // whether find_folder would succeed

}  // namespace vigor
