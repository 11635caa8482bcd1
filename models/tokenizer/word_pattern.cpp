#include "models/tokenizer/word_pattern.h"

#include <array>

#include "models/tokenizer/char_class.h"

namespace vigor {
namespace {

using namespace char_class;

bool is_ascii_letter(uint8_t c) { return static_cast<uint8_t>((c | 0x20) - 'a') < 26; }

// Walks along valid UTF-8 and tells the classes of what lies ahead.
class Scanner {
 public:
  Scanner(std::string_view text, uint8_t letters, size_t position)
      : text_(text), classes_(CharClasses::get()), letters_(letters), position_(position) {}

  size_t position() const { return position_; }
  bool at_end() const { return position_ == text_.size(); }
  // Moves past one character and returns its classes; marks may be letters.
  uint8_t next() {
    const uint8_t classes = classes_[next_point(text_, position_)];
    return (classes & letters_) != 0 ? classes | kLetter : classes;
  }
  // Moves over characters that have one of `wanted` and none of `unwanted`, at most `limit`; true if there were any.
  bool skip(uint8_t wanted, uint8_t unwanted = 0, int limit = -1) {
    const size_t begin = position_;
    for (; limit != 0 && !at_end(); --limit) {
      const size_t before = position_;
      const uint8_t classes = next();
      if ((wanted != 0 && (classes & wanted) == 0) || (classes & unwanted) != 0) {
        position_ = before;
        break;
      }
    }
    return position_ > begin;
  }

 private:
  std::string_view text_;
  const CharClasses& classes_;
  uint8_t letters_;
  size_t position_;
};

constexpr uint8_t kNoSymbol = kSpace | kLetter | kNumber;

// The length of "'s", "'ll" and so on at `begin`, where an apostrophe stands; 0 if there is none.
size_t contraction_length(std::string_view text, size_t begin, bool any_case) {
  // U+017F (long s) is "s" when case does not matter.
  if (any_case && text.substr(begin + 1, 2) == "\xC5\xBF") return 3;
  const auto lower = [&](size_t offset) -> char {
    if (begin + offset >= text.size()) return '\0';
    const char c = text[begin + offset];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = lower(1), second = lower(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  return first == 'l' && second == 'l' ? 3 : 0;
}

// The end of a LaTeX command that begins at `begin`, perhaps with a space; `begin` if there is none.
size_t match_latex(std::string_view text, size_t begin) {
  const size_t backslash = text[begin] == ' ' ? begin + 1 : begin;
  if (backslash >= text.size() || text[backslash] != '\\') return begin;
  size_t end = backslash + 1;
  while (end < text.size() && is_ascii_letter(static_cast<uint8_t>(text[end]))) ++end;
  return end > backslash + 1 ? end : begin;
}

// The end of white space that begins at `begin`: by `lines` or by `space`.
size_t match_space(std::string_view text, size_t begin, bool lines) {
  Scanner scan(text, 0, begin);
  size_t last_line_end = begin, last_character = begin;
  while (!scan.at_end()) {
    const size_t before = scan.position();
    const uint8_t classes = scan.next();
    if ((classes & kSpace) == 0) {
      if (last_line_end > begin) return last_line_end;
      return last_character > begin ? last_character : before;  // a single one stands for itself
    }
    if (lines && (classes & kNewline) != 0) last_line_end = scan.position();
    last_character = before;
  }
  return last_line_end > begin ? last_line_end : text.size();
}

}  // namespace

size_t WordPattern::match(std::string_view text, size_t begin) const {
  const uint8_t letters = static_cast<uint8_t>(kLetter | (marks ? kMark : 0));
  if (latex) {
    if (const size_t end = match_latex(text, begin); end > begin) return end;
  }
  Scanner scan(text, letters, begin);
  const uint8_t first = scan.next();
  if ((first & kApostrophe) != 0 && contractions != Contractions::none) {
    if (const size_t length = contraction_length(text, begin, contractions == Contractions::any_case); length > 0)
      return begin + length;
  }
  if ((first & kLetter) != 0) {
    scan.skip(kLetter);
    return scan.position();
  }
  const bool space = text[begin] == ' ';
  if ((any_prefix ? (first & (kNewline | kNumber)) == 0 : space) && scan.skip(kLetter)) return scan.position();
  if ((first & kNumber) != 0) {
    if (digits != 1) scan.skip(kNumber, 0, digits == 0 ? -1 : digits - 1);
    return scan.position();
  }
  if (space && digits == 0 && scan.skip(kNumber)) return scan.position();
  if (space ? scan.skip(0, kNoSymbol, 1) : (first & kSpace) == 0) {
    if (one_symbol) return scan.position();
    scan.skip(0, kNoSymbol);
    if (lines) scan.skip(kNewline);
    return scan.position();
  }
  return match_space(text, begin, lines);
}

std::string WordPattern::regex() const {
  const std::string letter = marks ? R"([\p{L}\p{M}])" : R"(\p{L})";
  const std::string letter_in_set = marks ? R"(\p{L}\p{M})" : R"(\p{L})";
  const std::string contraction = "'s|'t|'re|'ve|'m|'ll|'d";
  std::string text;
  if (latex) text += R"( ?\\[A-Za-z]+|)";
  if (contractions == Contractions::lower_case) text += contraction + "|";
  if (contractions == Contractions::any_case) text += "(?i:" + contraction + ")|";
  text += any_prefix ? R"([^\r\n)" + letter_in_set + R"(\p{N}]?)" : std::string(" ?");
  text += letter + "+|";
  text += digits == 0 ? R"( ?\p{N}+|)" : digits == 1 ? R"(\p{N}|)" : R"(\p{N}{1,3}|)";
  text += R"( ?[^\s)" + letter_in_set + R"(\p{N}])";
  text += one_symbol ? "|" : lines ? R"(+[\r\n]*|)" : "+|";
  if (lines) text += R"(\s*[\r\n]+|)";
  return text + R"(\s+(?!\S)|\s+)";
}

std::optional<WordPattern> WordPattern::recognize(std::string_view regex) {
  for (int bits = 0; bits < 32; ++bits) {
    for (const Contractions contractions : {Contractions::none, Contractions::lower_case, Contractions::any_case}) {
      for (const int digits : {0, 1, 3}) {
        const WordPattern pattern{(bits & 1) != 0, contractions,    (bits & 2) != 0, (bits & 4) != 0,
                                  digits,          (bits & 8) != 0, (bits & 16) != 0};
        if (pattern.regex() == regex) return pattern;
      }
    }
  }
  return std::nullopt;
}

}  // namespace vigor
