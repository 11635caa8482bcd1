#pragma once
// Any other regular expression of a tokenizer.json, through the ICU library: much slower than a WordPattern.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

// A piece of a text: bytes begin .. end - 1.
struct Span {
  size_t begin, end;
  bool operator==(const Span&) const = default;
};

class RegexSplit {
 public:
  // tokenizer.json means the expressions of the Oniguruma library in its Ruby syntax. Those that ICU does not know, or
  // knows with another meaning, are refused (std::invalid_argument naming the expression).
  explicit RegexSplit(std::string_view regex);
  ~RegexSplit();
  RegexSplit(RegexSplit&&) noexcept;

  // Appends the matches in text[span], which must be valid UTF-8; nothing outside of the span is seen. Matches are in
  // order and do not overlap. std::runtime_error when the expression takes too long.
  void matches(std::string_view text, Span span, std::vector<Span>& found) const;

 private:
  struct Compiled;
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace vigor
