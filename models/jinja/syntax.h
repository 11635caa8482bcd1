#pragma once
// What a template says, as a tree: a list of statements with expressions in them.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vigor::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

enum class ExpressionKind {
  literal_string,   // text
  literal_integer,  // number
  literal_boolean,  // number
  literal_none,
  list,         // operands
  dictionary,   // operands: key, value, key, value
  name,         // text
  attribute,    // operands[0] . text
  item,         // operands[0] [ operands[1] ]
  slice,        // operands[0] [ operands[1] : operands[2] : operands[3] ], each may be null
  call,         // operands[0] ( operands[1..], named )
  filter,       // operands[0] | text ( operands[1..], named )
  test,         // operands[0] is text, number 1: is not
  negation,     // not operands[0]
  minus,        // - operands[0]
  binary,       // operands[0] text operands[1], where text is + - * // % ~ and or
  comparison,   // operands[0] signs[0] operands[1] signs[1] operands[2] ...
  conditional,  // operands[0] if operands[1] else operands[2], which may be null
};

struct Expression {
  ExpressionKind kind;
  int line = 1;
  std::string text;
  int64_t number = 0;
  std::vector<ExpressionPtr> operands;
  std::vector<std::pair<std::string, ExpressionPtr>> named;  // arguments with a name
  std::vector<std::string> signs;                            // of a comparison: == != < <= > >= in, not in
  int depth = 1;                                             // of the tree below
};

struct Statement;
using Body = std::vector<Statement>;

enum class StatementKind { text, print, assign, loop, choice };

struct Branch {
  ExpressionPtr condition;  // null: else
  Body body;
};

struct Statement {
  StatementKind kind;
  int line = 1;
  std::string text;              // the text itself; the variable of a loop or an assignment
  std::string attribute;         // of the variable, in {% set space.attribute = .. %}
  ExpressionPtr expression;      // printed, assigned, or looped over
  std::vector<Branch> branches;  // of a choice, or of a loop: its body, and the branch for an empty list
};

// std::invalid_argument, one line with the line of the template, for what is no template or not supported here.
Body parse(std::string_view source);

}  // namespace vigor::jinja
