#pragma once
// PTX text -> tokens.
#include <cstdint>
#include <string_view>

namespace vigor::emulator {

struct Token {
  enum class Kind { word, number, string, punctuation, end };
  Kind kind = Kind::end;
  std::string_view text;  // a string without its quotes
  uint32_t line = 0;

  bool is(std::string_view wanted) const { return kind != Kind::string && text == wanted; }
};

// A number's bits: integers in two's complement, 0fXXXXXXXX as 32 bits, 0dXXXXXXXXXXXXXXXX and decimals as a double.
struct Number {
  uint64_t bits = 0;
  enum class Form { integer, f32, f64 } form = Form::integer;
};

class Lexer {
 public:
  // `line`: the number of the text's first line. `source` appears in errors. Both views must outlive the lexer.
  Lexer(std::string_view text, std::string_view source, uint32_t line = 1);

  const Token& peek() const { return current_; }
  Token next();
  bool accept(std::string_view text);  // takes the token if it is this
  void expect(std::string_view text);  // Fault invalid_ptx if it is not
  std::string_view word();             // any word
  uint64_t integer();                  // a number, with an optional minus
  Number number();                     // the same, or a floating-point number
  // Skips to the brace that closes the one just taken and takes it; the text between them.
  std::string_view braces(uint32_t& first_line);
  // After an unknown directive: everything up to the end of its line.
  void skip_line();
  [[noreturn]] void fail(std::string_view rule) const;  // at the current token

 private:
  void advance();
  void skip_space();

  std::string_view text_, source_;
  size_t at_ = 0;
  uint32_t line_;
  Token current_;
};

}  // namespace vigor::emulator
