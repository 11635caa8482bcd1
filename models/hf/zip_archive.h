#pragma once
// Reading the zip files that PyTorch writes: entries are stored, not compressed, which also means that nothing in the
// file can ask for more memory than the file has bytes. Checksums are verified when an entry is read.
// Throws std::invalid_argument for anything else, std::runtime_error when the file cannot be opened.
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "tensor/file.h"

struct zip;

namespace vigor {

class ZipArchive {
 public:
  explicit ZipArchive(const std::filesystem::path& path);

  struct Entry {
    uint64_t index;
    uint64_t nbytes;
  };
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  const Entry* find(std::string_view name) const;                    // nullptr when absent
  void read(const Entry& entry, std::span<std::byte> target) const;  // target has entry.nbytes; one thread at a time

 private:
  std::string where_;
  std::shared_ptr<const MappedFile> file_;
  std::unique_ptr<::zip, void (*)(::zip*)> zip_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace vigor
