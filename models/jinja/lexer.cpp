#include "models/jinja/lexer.h"

#include <algorithm>
#include <charconv>

#include "models/tokenizer/unicode.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor::jinja {
namespace {

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// Line ends become \n, and one at the end of the file is dropped.
std::string normalized(std::string_view source) {
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text.push_back(source[i] == '\r' ? '\n' : source[i]);
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = next_tag();
      text_before(tag);
      if (tag == source_.size()) break;
      const char kind = source_[tag + 1];
      at_ = tag + 2;
      if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
      if (kind == '#') comment();
      else inside(kind);
    }
    put(TokenKind::end);
    return std::move(tokens_);
  }

 private:
  void put(TokenKind kind, std::string text = {}, int64_t number = 0) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(counted_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_), '\n'));
    counted_ = at_;
    tokens_.push_back({kind, std::move(text), number, line_});
  }
  [[noreturn]] void refuse(std::string_view what) {
    put(TokenKind::end);
    fail("line {}: {}", line_, what);
  }
  bool follows(std::string_view text) const { return std::string_view(source_).substr(at_).starts_with(text); }

  size_t next_tag() const {
    for (size_t i = source_.find('{', at_); i != std::string::npos; i = source_.find('{', i + 1))
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    return source_.size();
  }

  void text_before(size_t tag) {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    const char kind = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (kind != '\0' && sign == '-') {
      while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    } else if ((kind == '%' || kind == '#') && sign != '+') {
      const size_t line = text.rfind('\n') + 1;  // 0 when there is none
      if ((line > 0 || line_starts_) &&
          std::all_of(text.begin() + static_cast<std::ptrdiff_t>(line), text.end(), is_blank))
        text = text.substr(0, line);
    }
    if (!text.empty()) put(TokenKind::text, std::string(text));
  }

  // Behind the end of a tag, whose last characters are `border` ("%}") without its sign.
  void end_tag(std::string_view border) {
    const char sign = source_[at_];
    at_ += border.size() + (sign == '-' || sign == '+' ? 1 : 0);
    if (sign == '-') {
      while (at_ < source_.size() && is_blank(source_[at_])) ++at_;
    } else if (sign != '+' && border != "}}" && follows("\n")) {
      ++at_;
    }
    line_starts_ = source_[at_ - 1] == '\n';
  }

  void comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) refuse("a comment has no end");
    const bool has_sign = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    at_ = end - (has_sign ? 1 : 0);
    end_tag("#}");
  }

  void inside(char kind) {
    const std::string_view border = kind == '%' ? "%}" : "}}";
    put(kind == '%' ? TokenKind::statement_begin : TokenKind::print_begin);
    for (int open = 0;;) {  // a border inside brackets is none: {{ {"a": {}} }}
      while (at_ < source_.size() && is_blank(source_[at_])) ++at_;
      if (at_ == source_.size()) refuse("a tag has no end");
      const size_t sign = source_[at_] == '-' || source_[at_] == '+' ? 1 : 0;
      if (open == 0 && std::string_view(source_).substr(at_ + sign).starts_with(border)) {
        put(kind == '%' ? TokenKind::statement_end : TokenKind::print_end);
        return end_tag(border);
      }
      const char c = source_[at_];
      if (begins_name(c)) word();
      else if (is_digit(c)) number();
      else if (c == '\'' || c == '"') string(c);
      else open += operation();
    }
  }

  void word() {
    size_t end = at_;
    while (end < source_.size() && (begins_name(source_[end]) || is_digit(source_[end]))) ++end;
    put(TokenKind::name, source_.substr(at_, end - at_));
    at_ = end;
  }

  void number() {
    int64_t value = 0;
    const char* begin = source_.data() + at_;
    const auto result = std::from_chars(begin, source_.data() + source_.size(), value);
    if (result.ec != std::errc()) refuse("a number is too large");
    const auto length = static_cast<size_t>(result.ptr - begin);
    if (at_ + length + 1 < source_.size() && result.ptr[0] == '.' && is_digit(result.ptr[1]))
      refuse("numbers with a fraction are not supported");
    put(TokenKind::integer, {}, value);
    at_ += length;
  }

  // Whether brackets open (1) or close (-1).
  int operation() {
    for (const std::string_view two : {"==", "!=", "<=", ">=", "//", "**"}) {
      if (!follows(two)) continue;
      put(TokenKind::sign, std::string(two));
      at_ += 2;
      return 0;
    }
    const char c = source_[at_];
    if (std::string_view("+-*/%~<>=.:|,()[]{}").find(c) == std::string_view::npos)
      refuse(fmt::format("unexpected {}", printable(std::string_view(source_).substr(at_, 10))));
    put(TokenKind::sign, std::string(1, c));
    ++at_;
    return c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
  }

  void string(char quote) {
    std::string value;
    size_t i = at_ + 1;
    for (; i < source_.size() && source_[i] != quote; ++i) {
      if (source_[i] != '\\') value.push_back(source_[i]);
      else if (++i < source_.size()) escape(i, value);
    }
    if (i >= source_.size()) refuse("a string has no end");
    put(TokenKind::string, std::move(value));
    at_ = i + 1;
  }

  // source_[i] follows a backslash; i stays on the last character that belongs to the escape. Those of Python.
  void escape(size_t& i, std::string& value) {
    constexpr std::string_view kNames = "abfnrtv\\'\"", kMeant = "\a\b\f\n\r\t\v\\'\"";
    const char c = source_[i];
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      value.push_back(kMeant[known]);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      uint32_t point = 0;
      const char* begin = source_.data() + i + 1;
      const char* end = begin + std::min(digits, source_.size() - i - 1);
      const auto result = std::from_chars(begin, end, point, 16);
      if (result.ptr != begin + digits || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
        refuse("an escape in a string is no character");
      append_utf8(point, value);
      i += digits;
    } else if (c == 'N' || is_digit(c)) {
      refuse(fmt::format("the escape \\{} in a string is not supported", c));
    } else if (c != '\n') {  // a line break that is escaped is none
      value.push_back('\\');
      value.push_back(c);
    }
  }

  std::string source_;
  size_t at_ = 0, counted_ = 0;  // counted_: up to here line ends are in line_
  int line_ = 1;
  bool line_starts_ = true;  // where the text before the next tag begins
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace vigor::jinja
