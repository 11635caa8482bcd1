#include "kernels/emulator/lexer.h"

#include <fmt/format.h>

#include <bit>
#include <cctype>
#include <charconv>
#include <string>

#include "kernels/emulator/fault.h"

namespace vigor::emulator {
namespace {

bool is_word_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

bool is_word(char c) { return is_word_start(c) || std::isdigit(static_cast<unsigned char>(c)); }

}  // namespace

Lexer::Lexer(std::string_view text, std::string_view source, uint32_t line)
    : text_(text), source_(source), line_(line) {
  advance();
}

void Lexer::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '\n') {
      ++line_;
      ++at_;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\0') {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (text_.substr(at_, 2) == "/*") {
      const size_t end = std::min(text_.find("*/", at_), text_.size());
      for (; at_ < end; ++at_) line_ += text_[at_] == '\n';
      at_ = std::min(at_ + 2, text_.size());
    } else {
      return;
    }
  }
}

void Lexer::advance() {
  skip_space();
  current_ = Token{Token::Kind::end, {}, line_};
  if (at_ >= text_.size()) return;
  const size_t begin = at_;
  const char c = text_[at_];
  if (c == '"') {
    const size_t end = text_.find('"', at_ + 1);
    if (end == std::string_view::npos) fail("a string has no end");
    current_ = {Token::Kind::string, text_.substr(at_ + 1, end - at_ - 1), line_};
    at_ = end + 1;
    return;
  }
  if (std::isdigit(static_cast<unsigned char>(c))) {
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '.')) ++at_;
    current_ = {Token::Kind::number, text_.substr(begin, at_ - begin), line_};
    return;
  }
  if (is_word_start(c)) {
    while (at_ < text_.size()) {
      if (is_word(text_[at_])) {
        ++at_;
      } else if (text_.substr(at_, 2) == "::") {  // .L2::128B, .shared::cta
        at_ += 2;
      } else {
        break;
      }
    }
    current_ = {Token::Kind::word, text_.substr(begin, at_ - begin), line_};
    return;
  }
  ++at_;
  current_ = {Token::Kind::punctuation, text_.substr(begin, 1), line_};
}

Token Lexer::next() {
  const Token token = current_;
  advance();
  return token;
}

bool Lexer::accept(std::string_view text) {
  if (!current_.is(text)) return false;
  advance();
  return true;
}

void Lexer::expect(std::string_view text) {
  if (!accept(text)) fail(fmt::format("'{}' expected", text));
}

std::string_view Lexer::word() {
  if (current_.kind != Token::Kind::word) fail("a name expected");
  return next().text;
}

uint64_t Lexer::integer() {
  const Number value = number();
  if (value.form != Number::Form::integer) fail("an integer expected");
  return value.bits;
}

Number Lexer::number() {
  const bool negative = accept("-");
  if (current_.kind != Token::Kind::number) fail("a number expected");
  std::string_view text = next().text;
  Number value;
  const auto parse = [&](std::string_view digits, int base) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value.bits, base);
    if (error != std::errc() || end != digits.data() + digits.size()) fail(fmt::format("'{}' is not a number", text));
  };
  const char form = text.size() > 1 && text[0] == '0' ? text[1] : '\0';
  if (form == 'f' || form == 'F') {
    parse(text.substr(2), 16);
    value.form = Number::Form::f32;
    if (negative) value.bits ^= 0x80000000u;
  } else if (form == 'd' || form == 'D') {
    parse(text.substr(2), 16);
    value.form = Number::Form::f64;
    if (negative) value.bits ^= uint64_t{1} << 63;
  } else if (text.find('.') != std::string_view::npos) {
    const double decimal = std::stod(std::string(text));
    value = {std::bit_cast<uint64_t>(negative ? -decimal : decimal), Number::Form::f64};
  } else {
    if (text.back() == 'U') text.remove_suffix(1);
    if (form == 'x' || form == 'X') {
      parse(text.substr(2), 16);
    } else if (form == 'b' || form == 'B') {
      parse(text.substr(2), 2);
    } else {
      parse(text, form != '\0' ? 8 : 10);
    }
    if (negative) value.bits = 0 - value.bits;
  }
  return value;
}

std::string_view Lexer::braces(uint32_t& first_line) {
  first_line = line_ = current_.line;
  if (current_.kind == Token::Kind::end) fail("'}' expected");
  const size_t begin =
      static_cast<size_t>(current_.text.data() - text_.data()) - (current_.kind == Token::Kind::string);
  // Character by character rather than by tokens: most bodies of a large program are never translated.
  int depth = 1;
  for (at_ = begin; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '\n') {
      ++line_;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      const std::string_view body = text_.substr(begin, at_++ - begin);
      advance();
      return body;
    } else if (c == '/' && text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size()) - 1;
    } else if (c == '"') {
      at_ = std::min(text_.find('"', at_ + 1), text_.size());
    }
  }
  advance();
  fail("'}' expected");
}

void Lexer::skip_line() {
  const uint32_t line = current_.line;
  while (current_.kind != Token::Kind::end && current_.line == line) advance();
}

void Lexer::fail(std::string_view rule) const {
  throw Fault(FaultKind::invalid_ptx,
              fmt::format("{}:{}: {}; got '{}'", source_, current_.line, rule,
                          current_.kind == Token::Kind::end ? std::string_view("the end") : current_.text));
}

}  // namespace vigor::emulator
