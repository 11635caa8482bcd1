#include "models/tokenizer/added_tokens.h"

#include <algorithm>

#include "models/tokenizer/char_class.h"

namespace vigor {
namespace {

// The classes of the character that ends before `position`, or begins there; 0 at an end of the text.
uint8_t classes_before(std::string_view text, size_t position) {
  if (position == 0) return 0;
  size_t begin = position - 1;
  while ((static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return CharClasses::get()[next_point(text, begin)];
}
uint8_t classes_at(std::string_view text, size_t position) {
  return position == text.size() ? uint8_t{0} : CharClasses::get()[next_point(text, position)];
}

size_t before_spaces(std::string_view text, size_t position) {
  while ((classes_before(text, position) & char_class::kSpace) != 0) {
    --position;
    while ((static_cast<uint8_t>(text[position]) & 0xC0) == 0x80) --position;
  }
  return position;
}
size_t after_spaces(std::string_view text, size_t position) {
  while ((classes_at(text, position) & char_class::kSpace) != 0) next_point(text, position);
  return position;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), by_first_byte_(256) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    Range& range = by_first_byte_[static_cast<uint8_t>(tokens_[i].content[0])];
    if (range.begin == range.end) range.begin = i;
    range.end = i + 1;
  }
}

// Narrows the sorted range byte by byte. A token that ends at this depth is the first of the range.
const AddedToken* AddedTokenMatcher::longest_at(std::string_view text, size_t begin) const {
  Range range = by_first_byte_[static_cast<uint8_t>(text[begin])];
  const AddedToken* longest = nullptr;
  for (size_t length = 1; range.begin < range.end; ++length) {
    if (tokens_[range.begin].content.size() == length) longest = &tokens_[range.begin++];
    if (begin + length == text.size()) break;
    const auto byte = static_cast<uint8_t>(text[begin + length]);
    const auto from = tokens_.begin() + range.begin, to = tokens_.begin() + range.end;
    const auto lower = std::partition_point(
        from, to, [&](const AddedToken& token) { return static_cast<uint8_t>(token.content[length]) < byte; });
    const auto upper = std::partition_point(
        lower, to, [&](const AddedToken& token) { return static_cast<uint8_t>(token.content[length]) == byte; });
    range = {static_cast<uint32_t>(lower - tokens_.begin()), static_cast<uint32_t>(upper - tokens_.begin())};
  }
  return longest;
}

void AddedTokenMatcher::split(std::string_view text, std::vector<TextPart>& parts) const {
  size_t done = 0;  // everything before is in `parts`
  for (size_t position = 0; position < text.size() && !empty();) {
    const AddedToken* token = longest_at(text, position);
    if (token == nullptr) {
      ++position;
      continue;
    }
    size_t begin = position, end = position + token->content.size();
    position = end;  // the search goes on there even if the token is dropped or takes white space
    if (token->single_word && ((classes_before(text, begin) | classes_at(text, end)) & char_class::kWord) != 0)
      continue;
    if (token->lstrip) begin = std::max(before_spaces(text, begin), done);
    if (token->rstrip) end = after_spaces(text, end);
    if (done < begin) parts.push_back({text.substr(done, begin - done), -1});
    parts.push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), -1});
}

}  // namespace vigor
