#pragma once
// A file's bytes in blocks of 1 MiB, for whatever looks at each byte once: unlike a mapping, memory stays at one block.
#include <fmt/format.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

namespace vigor {

// Calls visit(std::span<const std::byte>) for each block in turn. std::runtime_error if the file cannot be read.
template <class Visit>
void for_each_block(const std::filesystem::path& path, Visit&& visit) {
  const auto stop = [&](const char* action) {
    throw std::runtime_error(fmt::format("data: cannot {} {}: {}", action, path.string(), std::strerror(errno)));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) stop("open");
  std::vector<std::byte> block(size_t{1} << 20);
  while (const size_t nread = std::fread(block.data(), 1, block.size(), file.get())) {
    visit(std::span<const std::byte>(block).first(nread));
  }
  if (std::ferror(file.get()) != 0) stop("read");
}

}  // namespace vigor
