#pragma once
// A template cut into tokens: text between the tags, and the words and signs inside them. White space around tags is
// removed as transformers sets Jinja up: `-` inside a tag's border takes all of it; else a statement or comment takes
// the blanks before it on its line and one line break behind it (lstrip_blocks, trim_blocks), unless `+` forbids it.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vigor::jinja {

enum class TokenKind { text, statement_begin, statement_end, print_begin, print_end, name, integer, string, sign, end };

struct Token {
  TokenKind kind;
  std::string text;  // of a string its value, without quotes and escapes
  int64_t number = 0;
  int line = 1;
};

// The last token is `end`. std::invalid_argument, "line N: ...", for what is no token.
std::vector<Token> tokenize(std::string_view source);

}  // namespace vigor::jinja
