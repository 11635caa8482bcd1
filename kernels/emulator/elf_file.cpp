#include "kernels/emulator/elf_file.h"

#include <elf.h>

#include <cstring>
#include <fstream>
#include <stdexcept>

namespace vigor::emulator {
namespace {

// The element `index` of a table of T, or zeros where the table has ended.
template <typename T>
T element(std::span<const std::byte> table, uint64_t index) {
  T value{};
  if (index < table.size() / sizeof(T)) std::memcpy(&value, table.data() + index * sizeof(T), sizeof(T));
  return value;
}

std::string string_at(std::span<const std::byte> table, uint64_t offset) {
  if (offset >= table.size()) return {};
  const auto* text = reinterpret_cast<const char*>(table.data()) + offset;
  return {text, strnlen(text, table.size() - offset)};
}

}  // namespace

ElfFile::ElfFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const std::streamoff bytes = in ? static_cast<std::streamoff>(in.tellg()) : -1;
  if (bytes < 0 || std::filesystem::is_directory(path)) throw std::runtime_error(path.string() + ": cannot be read");
  file_.resize(static_cast<size_t>(bytes));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(file_.data()), bytes);
  if (!in) throw std::runtime_error(path.string() + ": cannot be read");

  const auto header = element<Elf64_Ehdr>(file_, 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_shentsize != sizeof(Elf64_Shdr)) {
    throw std::runtime_error(path.string() + ": not a 64-bit ELF program");
  }
  const auto table = part(header.e_shoff, uint64_t{header.e_shnum} * sizeof(Elf64_Shdr));
  const auto names_header = element<Elf64_Shdr>(table, header.e_shstrndx);
  const auto names = part(names_header.sh_offset, names_header.sh_size);
  for (uint64_t i = 0; i < table.size() / sizeof(Elf64_Shdr); ++i) {
    const auto section = element<Elf64_Shdr>(table, i);
    sections_.push_back({string_at(names, section.sh_name), section.sh_type == SHT_NOBITS
                                                                ? std::span<const std::byte>{}
                                                                : part(section.sh_offset, section.sh_size)});
  }
}

std::span<const std::byte> ElfFile::part(uint64_t offset, uint64_t bytes) const {
  if (offset > file_.size() || bytes > file_.size() - offset) return {};
  return std::span<const std::byte>(file_).subspan(offset, bytes);
}

const ElfSection* ElfFile::find_section(const std::string& name) const {
  for (const ElfSection& section : sections_) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

std::string ElfFile::dynamic_string(uint64_t offset) const {
  const ElfSection* strings = find_section(".dynstr");
  return strings ? string_at(strings->bytes, offset) : std::string{};
}

std::vector<std::string> ElfFile::needed() const {
  std::vector<std::string> names;
  const ElfSection* dynamic = find_section(".dynamic");
  const uint64_t count = dynamic ? dynamic->bytes.size() / sizeof(Elf64_Dyn) : 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto tag = element<Elf64_Dyn>(dynamic->bytes, i);
    if (tag.d_tag == DT_NULL) break;
    if (tag.d_tag == DT_NEEDED) names.push_back(dynamic_string(tag.d_un.d_val));
  }
  return names;
}

std::vector<ElfSymbol> ElfFile::dynamic_symbols() const {
  std::vector<ElfSymbol> symbols;
  const ElfSection* table = find_section(".dynsym");
  const uint64_t count = table ? table->bytes.size() / sizeof(Elf64_Sym) : 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto symbol = element<Elf64_Sym>(table->bytes, i);
    std::string name = dynamic_string(symbol.st_name);
    if (!name.empty()) symbols.push_back({std::move(name), symbol.st_shndx != SHN_UNDEF});
  }
  return symbols;
}

}  // namespace vigor::emulator
