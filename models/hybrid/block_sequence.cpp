#include "models/hybrid/block_sequence.h"

#include <fmt/core.h>

#include <charconv>

#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor {
namespace {

// The count behind the star of `word`.
int64_t repeat_count(std::string_view digits, std::string_view word) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  check(whole && count >= 1 && count <= kMaxBlocks, "blocks: a count is a whole number in 1..{}; got \"{}\"",
        kMaxBlocks, printable(word));
  return count;
}

}  // namespace

std::string expand_blocks(std::string_view text, std::string_view letters) {
  std::string blocks;
  for (size_t begin = 0; begin < text.size();) {
    if (text[begin] == ' ') {
      ++begin;
      continue;
    }
    const std::string_view word = text.substr(begin, text.find(' ', begin) - begin);
    begin += word.size();
    const std::string_view unit = word.substr(0, word.find('*'));
    check(!unit.empty(), "blocks: \"{}\" repeats nothing", printable(word));
    for (const char letter : unit)
      check(letters.find(letter) != std::string_view::npos, "blocks: \"{}\" is not one of the letters {}",
            printable(std::string(1, letter)), letters);
    const int64_t count = unit.size() == word.size() ? 1 : repeat_count(word.substr(unit.size() + 1), word);
    check(static_cast<int64_t>(blocks.size()) + count * static_cast<int64_t>(unit.size()) <= kMaxBlocks,
          "blocks: at most {} are allowed", kMaxBlocks);
    for (int64_t i = 0; i < count; ++i) blocks += unit;
  }
  check(!blocks.empty(), "blocks: at least one letter of {} is needed", letters);
  return blocks;
}

std::string compact_blocks(std::string_view blocks) {
  std::string text;
  for (size_t begin = 0; begin < blocks.size();) {
    const size_t end = std::min(blocks.find_first_not_of(blocks[begin], begin), blocks.size());
    if (!text.empty()) text += ' ';
    text += blocks[begin];
    if (end - begin > 1) text += fmt::format("*{}", end - begin);
    begin = end;
  }
  return text;
}

}  // namespace vigor
