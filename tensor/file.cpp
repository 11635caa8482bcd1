#include "tensor/file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <system_error>

#include "tensor/check.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferBytes = 1 << 18;
constexpr std::string_view kTemporaryMark = ".tmp-";
constexpr size_t kTemporaryDigits = 8;

[[noreturn]] void file_error(const char* action, const fs::path& path, int error = errno) {
  throw std::runtime_error(
      fmt::format("cannot {} {}: {}", action, path.string(), std::generic_category().message(error)));
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

int open_for_reading(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) file_error("open", path);
  return descriptor;
}

void sync(int descriptor, const fs::path& path) {
  // EINVAL: this kind of file (a folder on some network file systems) cannot be synced by itself.
  if (::fsync(descriptor) != 0 && errno != EINVAL) file_error("write", path);
}

void sync_path(const fs::path& path) { sync(Descriptor(open_for_reading(path)).get(), path); }

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// The place a rename has to replace: a link is followed, "folder/" and "folder" are the same.
fs::path resolve_target(const fs::path& path, fs::file_type wanted, const char* wanted_name) {
  check(!path.empty(), "write: a path is needed; got an empty one");
  fs::path target = path.has_filename() ? path : path.parent_path();
  std::error_code error;
  if (fs::is_symlink(target, error)) {
    const fs::path followed = fs::canonical(target, error);
    if (error) file_error("follow the link", target, error.value());
    target = followed;
  }
  const fs::file_status status = fs::status(target, error);
  if (fs::exists(status) && status.type() != wanted)
    fail("write: {} exists and is not a {}", target.string(), wanted_name);
  return target;
}

// Removes temporaries of `target` whose writer is gone. Never fails: a leftover only costs space.
void remove_stale_temporaries(const fs::path& target) {
  const std::string prefix = target.filename().string() + std::string(kTemporaryMark);
  const auto is_temporary = [&](const std::string& name) {
    return name.size() == prefix.size() + kTemporaryDigits && name.starts_with(prefix) &&
           name.find_first_not_of("0123456789abcdef", prefix.size()) == std::string::npos;
  };
  std::error_code error;
  std::vector<fs::path> stale;
  for (fs::directory_iterator entry(parent_of(target), error), end; !error && entry != end; entry.increment(error))
    if (is_temporary(entry->path().filename().string())) stale.push_back(entry->path());
  for (const fs::path& path : stale) {
    const Descriptor held(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (held.get() >= 0 && ::flock(held.get(), LOCK_EX | LOCK_NB) == 0) fs::remove_all(path, error);
  }
}

int create_temporary(const fs::path& path, Temporary::Kind kind) {
  if (kind == Temporary::Kind::file) return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (::mkdir(path.c_str(), 0777) != 0) return -1;
  return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) file_error("rename a temporary to", to);
}

// True when the two names were swapped in one step; false where the system or the file system cannot do it.
bool swap_names([[maybe_unused]] const fs::path& a, [[maybe_unused]] const fs::path& b) {
#ifdef RENAME_EXCHANGE
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP && errno != EXDEV) file_error("replace", b);
#endif
  return false;
}

fs::path previous_of(const fs::path& target) { return fs::path(target) += ".tmp-previous"; }

void remove_folder(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);  // a leftover only costs space
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  const Descriptor descriptor(open_for_reading(path));
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) file_error("read", path);
  check(S_ISREG(status.st_mode), "open: {} is not a regular file", path.string());

  std::shared_ptr<MappedFile> file(new MappedFile(path));
  file->nbytes_ = static_cast<size_t>(status.st_size);
  if (file->nbytes_ == 0) return file;  // a mapping of length 0 is an error for the system
  void* data = ::mmap(nullptr, file->nbytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor.get(), 0);
  if (data == MAP_FAILED) file_error("map", path);
  file->data_ = static_cast<const std::byte*>(data);
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), nbytes_);
}

void MappedFile::prefetch(std::span<const std::byte> part) const {
  const size_t before = static_cast<size_t>(part.data() - data_) % static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  ::madvise(const_cast<std::byte*>(part.data() - before), before + part.size(), MADV_WILLNEED);
}

std::string read_text(const fs::path& path, size_t max_bytes) {
  const Descriptor descriptor(open_for_reading(path));
  std::string text;
  std::vector<char> block(1 << 16);
  for (;;) {
    const ssize_t count = ::read(descriptor.get(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) file_error("read", path);
    if (count == 0) return text;
    text.append(block.data(), static_cast<size_t>(count));
    check(text.size() <= max_bytes, "read: {} has more than the {} bytes expected there", path.string(), max_bytes);
  }
}

std::string printable(std::string_view text, size_t max_length) {
  std::string line(text.substr(0, max_length));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (text.size() > max_length) line += "...";
  return line;
}

Temporary::Temporary(const fs::path& target, Kind kind) {
  remove_stale_temporaries(target);
  std::random_device random;
  for (;;) {
    path_ = fs::path(target) += fmt::format("{}{:0{}x}", kTemporaryMark, random(), kTemporaryDigits);
    descriptor_ = create_temporary(path_, kind);
    if (descriptor_ < 0 && errno == EEXIST) continue;
    if (descriptor_ < 0) file_error("create", path_);
    // Without locks (some network file systems) the temporary still works; only its clean-up after a kill may not.
    ::flock(descriptor_, LOCK_EX);
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || status.st_nlink > 0) return;
    ::close(descriptor_);  // another writer took it for stale before the lock was ours
  }
}

Temporary::~Temporary() {
  if (descriptor_ < 0) return;
  remove_folder(path_);
  ::close(descriptor_);
}

void Temporary::release() {
  ::close(descriptor_);
  descriptor_ = -1;
}

AtomicFile::AtomicFile(const fs::path& path)
    : target_(resolve_target(path, fs::file_type::regular, "regular file")),
      temporary_(target_, Temporary::Kind::file) {
  buffer_.reserve(kBufferBytes);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) flush_buffer();
  if (bytes.size() > kBufferBytes) {
    write_through(bytes.data(), bytes.size());
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

void AtomicFile::write_through(const std::byte* data, size_t nbytes) {
  while (nbytes > 0) {
    const ssize_t count = ::pwrite(temporary_.descriptor(), data, nbytes, static_cast<off_t>(written_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) file_error("write", target_);
    data += count;
    nbytes -= static_cast<size_t>(count);
    written_ += static_cast<uint64_t>(count);
  }
}

void AtomicFile::flush_buffer() {
  write_through(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::commit() {
  flush_buffer();
  sync(temporary_.descriptor(), target_);
  rename_path(temporary_.path(), target_);
  temporary_.release();
  sync_path(parent_of(target_));  // the rename itself
}

void write_file(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

AtomicFolder::AtomicFolder(const fs::path& target, Replace replace)
    : target_(resolve_target(target, fs::file_type::directory, "folder")),
      replace_(replace),
      temporary_(target_, Temporary::Kind::folder) {}

void AtomicFolder::commit() {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path()))
    if (entry.is_regular_file() || entry.is_directory()) sync_path(entry.path());
  sync_path(path());

  const fs::path parent = parent_of(target_);
  const fs::path previous = previous_of(target_);
  if (!fs::exists(target_)) {
    rename_path(path(), target_);
    temporary_.release();
    sync_path(parent);
  } else if (replace_ == Replace::swap_if_possible && swap_names(path(), target_)) {
    sync_path(parent);  // before the old content goes
    remove_folder(path());
    temporary_.release();
  } else {
    remove_folder(previous);
    rename_path(target_, previous);
    rename_path(path(), target_);
    temporary_.release();
    sync_path(parent);
  }
  remove_folder(previous);
}

bool has_folder(const fs::path& target) { return fs::is_directory(target) || fs::is_directory(previous_of(target)); }

fs::path find_folder(const fs::path& target) {
  if (fs::is_directory(target)) return target;
  const fs::path previous = previous_of(target);
  if (!fs::is_directory(previous)) file_error("open folder", target, ENOENT);
  return previous;
}

}  // namespace vigor
