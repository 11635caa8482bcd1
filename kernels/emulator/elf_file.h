#pragma once
// The little of an ELF file that tells whether a program can run on the emulated device.
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace vigor::emulator {

struct ElfSection {
  std::string name;
  std::span<const std::byte> bytes;  // empty for sections without bytes in the file
};

struct ElfSymbol {
  std::string name;
  bool defined = false;
};

// A 64-bit little-endian ELF file. Every offset in it is checked: a damaged or hostile file is an error or an empty
// list, never a read outside it.
class ElfFile {
 public:
  // Throws std::runtime_error if the file cannot be read or is not such an ELF file.
  explicit ElfFile(const std::filesystem::path& path);

  const std::vector<ElfSection>& sections() const { return sections_; }
  const ElfSection* find_section(const std::string& name) const;
  std::vector<std::string> needed() const;  // DT_NEEDED
  std::vector<ElfSymbol> dynamic_symbols() const;

 private:
  std::span<const std::byte> part(uint64_t offset, uint64_t bytes) const;
  std::string dynamic_string(uint64_t offset) const;

  std::vector<std::byte> file_;
  std::vector<ElfSection> sections_;
};

}  // namespace vigor::emulator
