#pragma once
// Lines of a text file through one buffer, whatever the size of the file and of its lines.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace vigor {

class LineReader {
 public:
  // std::invalid_argument for UTF-16 (a byte order mark tells), std::runtime_error if the file cannot be read.
  explicit LineReader(const std::filesystem::path& path);

  // The next line without its end ("\n" or "\r\n"); valid until the next call. A longer line than `max_bytes` comes in
  // several parts, of which only the last sets `complete`.
  bool next(std::string_view& line, bool& complete, size_t max_bytes);

  int64_t line_number() const { return line_number_; }  // of the line returned last, from 1
  const std::filesystem::path& path() const { return path_; }

 private:
  static constexpr size_t kBlockBytes = size_t{1} << 20;

  bool fill();  // reads on; false at the end of the file
  void skip_byte_order_mark();

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  size_t block_bytes_ = kBlockBytes;  // read at once
  std::string buffer_;
  size_t begin_ = 0;  // of what was not returned yet
  int64_t line_number_ = 0;
  bool inside_line_ = false;
};

}  // namespace vigor
