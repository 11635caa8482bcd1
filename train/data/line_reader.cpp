#include "train/data/line_reader.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "tensor/check.h"

namespace vigor {

LineReader::LineReader(const std::filesystem::path& path)
    : path_(path), file_(std::fopen(path.c_str(), "rb"), &std::fclose) {
  if (!file_) throw std::runtime_error(fmt::format("data: cannot open {}: {}", path.string(), std::strerror(errno)));
  // A folder may hold very many short files: the block is no larger than the file.
  std::error_code no_size;
  const uint64_t nbytes = std::filesystem::file_size(path, no_size);
  if (!no_size && nbytes < kBlockBytes) block_bytes_ = static_cast<size_t>(nbytes) + 1;
  fill();
  skip_byte_order_mark();
}

bool LineReader::fill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t old_size = buffer_.size();
  buffer_.resize(old_size + block_bytes_);
  const size_t nread = std::fread(buffer_.data() + old_size, 1, block_bytes_, file_.get());
  buffer_.resize(old_size + nread);
  if (nread == 0 && std::ferror(file_.get()) != 0) {
    throw std::runtime_error(fmt::format("data: cannot read {}: {}", path_.string(), std::strerror(errno)));
  }
  return nread > 0;
}

void LineReader::skip_byte_order_mark() {
  if (buffer_.starts_with("\xEF\xBB\xBF")) begin_ = 3;
  if (buffer_.starts_with("\xFF\xFE") || buffer_.starts_with("\xFE\xFF")) {
    fail("data: text must be UTF-8; {} is UTF-16 (convert it with: iconv -f UTF-16 -t UTF-8)", path_.string());
  }
}

bool LineReader::next(std::string_view& line, bool& complete, size_t max_bytes) {
  size_t searched = 0;  // bytes after begin_ known to hold no line end
  for (;;) {
    const size_t end = buffer_.find('\n', begin_ + searched);
    const size_t length = (end == std::string::npos ? buffer_.size() : end) - begin_;
    if (length > max_bytes) {
      size_t cut = max_bytes;
      while (cut > max_bytes - 3 && cut > 1 && (buffer_[begin_ + cut] & 0xC0) == 0x80)
        --cut;  // not inside a code point
      line = std::string_view(buffer_).substr(begin_, cut);
      begin_ += cut;
      complete = false;
    } else if (end != std::string::npos) {
      line = std::string_view(buffer_).substr(begin_, length);
      begin_ = end + 1;
      if (line.ends_with('\r')) line.remove_suffix(1);
      complete = true;
    } else {
      searched = length;
      if (fill()) continue;
      if (length == 0 && !inside_line_) return false;
      line = std::string_view(buffer_).substr(begin_, length);
      begin_ = buffer_.size();
      complete = true;
    }
    if (!inside_line_) ++line_number_;
    inside_line_ = !complete;
    return true;
  }
}

}  // namespace vigor
