#pragma once
// Tokens that are found in the text before anything else looks at it: special tokens ("<|im_end|>") and other added
// ones.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

struct AddedToken {
  static constexpr size_t kMaxBytes = 1024;
  int32_t id = 0;
  std::string content;
  bool special = false;      // a mark that is not shown to readers
  bool single_word = false;  // only where no letter, digit or underscore stands directly before or after
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // is looked for in the normalised text
};

// A part of a text: an added token, or text between them.
struct TextPart {
  std::string_view text;
  int32_t id;  // of the token; -1: text
};

// Finds tokens: the leftmost, of those that begin at the same place the longest. Without overlap.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() : AddedTokenMatcher(std::vector<AddedToken>{}) {}
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }
  // Appends the parts of `text`, valid UTF-8.
  void split(std::string_view text, std::vector<TextPart>& parts) const;

 private:
  const AddedToken* longest_at(std::string_view text, size_t begin) const;

  std::vector<AddedToken> tokens_;  // sorted by content
  struct Range {
    uint32_t begin = 0, end = 0;
  };
  std::vector<Range> by_first_byte_;  // tokens that begin with each byte
};

}  // namespace vigor
