// Recursive descent, with the grammar and precedence of Jinja. Depth of nesting is bounded, so that no template can
// exhaust the stack: of the parser, of whoever evaluates the tree, or of its destructor.
#include <fmt/ranges.h>

#include <algorithm>

#include "models/jinja/lexer.h"
#include "models/jinja/syntax.h"
#include "tensor/check.h"
#include "tensor/file.h"

namespace vigor::jinja {
namespace {

constexpr int kMaxDepth = 200;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}

  Body run() {
    Body body = parse_body({});
    return body;
  }

 private:
  // ---- tokens ----
  const Token& now() const { return tokens_[at_]; }
  const Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is(TokenKind kind, std::string_view text) const { return now().kind == kind && now().text == text; }
  bool is_sign(std::string_view text) const { return is(TokenKind::sign, text); }
  bool is_word(std::string_view text) const { return is(TokenKind::name, text); }
  bool next_is_word(std::string_view text) const {
    return at_ + 1 < tokens_.size() && tokens_[at_ + 1].kind == TokenKind::name && tokens_[at_ + 1].text == text;
  }
  bool skip_sign(std::string_view text) { return is_sign(text) && (take(), true); }
  bool skip_word(std::string_view text) { return is_word(text) && (take(), true); }
  [[noreturn]] void refuse(const std::string& what) const { fail("line {}: {}", now().line, what); }
  std::string describe_now() const {
    switch (now().kind) {
      case TokenKind::end:
      case TokenKind::text:
        return "the end of the template";
      case TokenKind::statement_end:
      case TokenKind::print_end:
        return "the end of the tag";
      case TokenKind::string:
        return fmt::format("\"{}\"", printable(now().text, 40));
      case TokenKind::integer:
        return std::to_string(now().number);
      default:
        return printable(now().text, 40);
    }
  }
  void expect_sign(const char* text) {
    if (!skip_sign(text)) refuse(fmt::format("expected {}, got {}", text, describe_now()));
  }
  std::string expect_name() {
    if (now().kind != TokenKind::name) refuse(fmt::format("expected a name, got {}", describe_now()));
    return take().text;
  }
  void expect_end(TokenKind kind) {
    if (now().kind != kind) refuse(fmt::format("unexpected {}", describe_now()));
    take();
  }

  // ---- nodes ----
  struct Nesting {  // one level of recursion of the parser
    explicit Nesting(Parser& p) : parser(p) {
      if (++parser.nesting_ > kMaxDepth) parser.refuse(fmt::format("nested more than {} deep", kMaxDepth));
    }
    ~Nesting() { --parser.nesting_; }
    Parser& parser;
  };
  ExpressionPtr node(ExpressionKind kind, std::string text = {}, int64_t number = 0) const {
    auto made = std::make_unique<Expression>();
    made->kind = kind;
    made->line = now().line;
    made->text = std::move(text);
    made->number = number;
    return made;
  }
  void put(Expression& parent, ExpressionPtr operand) const {
    if (operand != nullptr) {
      parent.depth = std::max(parent.depth, operand->depth + 1);
      if (parent.depth > kMaxDepth) refuse(fmt::format("an expression of more than {} parts", kMaxDepth));
    }
    parent.operands.push_back(std::move(operand));
  }
  ExpressionPtr binary(std::string sign, ExpressionPtr left, ExpressionPtr right) const {
    ExpressionPtr made = node(ExpressionKind::binary, std::move(sign));
    put(*made, std::move(left));
    put(*made, std::move(right));
    return made;
  }

  // ---- statements ----
  // Up to a statement that begins with one of `ends`, which is left: behind {% and before its name.
  Body parse_body(const std::vector<std::string_view>& ends) {
    const Nesting level(*this);
    Body body;
    while (now().kind != TokenKind::end) {
      const int line = now().line;
      const TokenKind kind = now().kind;
      Token token = take();
      if (kind == TokenKind::text) {
        body.push_back({StatementKind::text, line, std::move(token.text), {}, nullptr, {}});
      } else if (kind == TokenKind::print_begin) {
        body.push_back({StatementKind::print, line, {}, {}, parse_expression(), {}});
        expect_end(TokenKind::print_end);
      } else {
        if (now().kind == TokenKind::name && std::find(ends.begin(), ends.end(), now().text) != ends.end()) return body;
        parse_statement(line, body);
      }
    }
    if (!ends.empty()) refuse(fmt::format("{} is missing", ends.back()));
    return body;
  }

  void parse_statement(int line, Body& body) {
    const std::string name = expect_name();
    if (name == "if") {
      body.push_back(parse_choice(line));
    } else if (name == "for") {
      body.push_back(parse_loop(line));
    } else if (name == "set") {
      body.push_back(parse_assignment(line));
    } else if (name == "generation") {  // marks what training looks at: the text is that of its body
      expect_end(TokenKind::statement_end);
      for (Statement& statement : parse_body({"endgeneration"})) body.push_back(std::move(statement));
      end_statement("endgeneration");
    } else {
      refuse(fmt::format("the statement \"{}\" is not supported", printable(name, 40)));
    }
  }

  void end_statement(std::string_view name) {
    if (!skip_word(name)) refuse(fmt::format("expected {}, got {}", name, describe_now()));
    expect_end(TokenKind::statement_end);
  }

  Statement parse_choice(int line) {
    Statement choice{StatementKind::choice, line, {}, {}, nullptr, {}};
    for (bool more = true; more;) {
      ExpressionPtr condition = parse_expression();
      expect_end(TokenKind::statement_end);
      Body body = parse_body({"elif", "else", "endif"});
      choice.branches.push_back({std::move(condition), std::move(body)});
      more = skip_word("elif");
    }
    if (skip_word("else")) {
      expect_end(TokenKind::statement_end);
      choice.branches.push_back({nullptr, parse_body({"endif"})});
    }
    end_statement("endif");
    return choice;
  }

  Statement parse_loop(int line) {
    Statement loop{StatementKind::loop, line, expect_name(), {}, nullptr, {}};
    if (is_sign(",")) refuse("a loop over several variables is not supported");
    if (!skip_word("in")) refuse(fmt::format("expected in, got {}", describe_now()));
    loop.expression = parse_or();  // an `if` behind it would be the loop's
    if (is_word("if") || is_word("recursive"))
      refuse(fmt::format("\"{}\" behind a loop's list is not supported", now().text));
    expect_end(TokenKind::statement_end);
    loop.branches.push_back({nullptr, parse_body({"else", "endfor"})});
    if (skip_word("else")) {
      expect_end(TokenKind::statement_end);
      loop.branches.push_back({nullptr, parse_body({"endfor"})});
    }
    end_statement("endfor");
    return loop;
  }

  Statement parse_assignment(int line) {
    Statement assignment{StatementKind::assign, line, expect_name(), {}, nullptr, {}};
    if (skip_sign(".")) assignment.attribute = expect_name();
    if (now().kind == TokenKind::statement_end) refuse("{% set %} with a body is not supported");
    if (is_sign(",")) refuse("an assignment to several variables is not supported");
    expect_sign("=");
    assignment.expression = parse_expression();
    expect_end(TokenKind::statement_end);
    return assignment;
  }

  // ---- expressions, from the weakest binding to the strongest ----
  ExpressionPtr parse_expression() {
    const Nesting level(*this);
    ExpressionPtr value = parse_or();
    while (skip_word("if")) {
      ExpressionPtr made = node(ExpressionKind::conditional);
      put(*made, std::move(value));
      put(*made, parse_or());
      put(*made, skip_word("else") ? parse_expression() : nullptr);
      value = std::move(made);
    }
    return value;
  }

  ExpressionPtr parse_or() {
    ExpressionPtr value = parse_and();
    while (skip_word("or")) value = binary("or", std::move(value), parse_and());
    return value;
  }

  ExpressionPtr parse_and() {
    ExpressionPtr value = parse_not();
    while (skip_word("and")) value = binary("and", std::move(value), parse_not());
    return value;
  }

  ExpressionPtr parse_not() {
    if (!is_word("not")) return parse_comparison();
    const Nesting level(*this);
    ExpressionPtr made = node(ExpressionKind::negation);
    take();
    put(*made, parse_not());
    return made;
  }

  std::string take_comparison() {
    for (const char* sign : {"==", "!=", "<=", ">=", "<", ">"})
      if (skip_sign(sign)) return sign;
    if (skip_word("in")) return "in";
    if (!is_word("not") || !next_is_word("in")) return {};
    take();
    take();
    return "not in";
  }

  ExpressionPtr parse_comparison() {
    ExpressionPtr value = parse_sum();
    std::string sign = take_comparison();
    if (sign.empty()) return value;
    ExpressionPtr made = node(ExpressionKind::comparison);
    put(*made, std::move(value));
    for (; !sign.empty(); sign = take_comparison()) {
      made->signs.push_back(sign);
      put(*made, parse_sum());
    }
    return made;
  }

  ExpressionPtr parse_sum() {
    ExpressionPtr value = parse_joined();
    while (is_sign("+") || is_sign("-")) {
      const std::string sign = take().text;
      value = binary(sign, std::move(value), parse_joined());
    }
    return value;
  }

  ExpressionPtr parse_joined() {
    ExpressionPtr value = parse_product();
    while (skip_sign("~")) value = binary("~", std::move(value), parse_product());
    return value;
  }

  ExpressionPtr parse_product() {
    ExpressionPtr value = parse_unary(true);
    while (is_sign("*") || is_sign("/") || is_sign("//") || is_sign("%")) {
      const std::string sign = take().text;
      value = binary(sign, std::move(value), parse_unary(true));
    }
    return value;
  }

  ExpressionPtr parse_unary(bool with_filters) {
    const Nesting level(*this);
    ExpressionPtr value;
    if (is_sign("-") || is_sign("+")) {
      value = take().text == "-" ? node(ExpressionKind::minus) : nullptr;
      ExpressionPtr operand = parse_unary(false);
      if (value != nullptr) put(*value, std::move(operand));
      else value = std::move(operand);
    } else {
      value = parse_primary();
    }
    value = parse_postfix(std::move(value));
    if (is_sign("**")) refuse("the operator ** is not supported");
    return with_filters ? parse_filters(std::move(value)) : std::move(value);
  }

  ExpressionPtr parse_primary() {
    const Token token = now();
    switch (token.kind) {
      case TokenKind::integer:
        take();
        return node(ExpressionKind::literal_integer, {}, token.number);
      case TokenKind::string: {
        std::string text;
        while (now().kind == TokenKind::string) text += take().text;
        return node(ExpressionKind::literal_string, std::move(text));
      }
      case TokenKind::name:
        take();
        if (token.text == "true" || token.text == "True") return node(ExpressionKind::literal_boolean, {}, 1);
        if (token.text == "false" || token.text == "False") return node(ExpressionKind::literal_boolean, {}, 0);
        if (token.text == "none" || token.text == "None") return node(ExpressionKind::literal_none);
        return node(ExpressionKind::name, token.text);
      default:
        break;
    }
    if (skip_sign("(")) return parse_group();
    if (skip_sign("[")) return parse_items(node(ExpressionKind::list), "]");
    if (skip_sign("{")) return parse_dictionary();
    refuse(fmt::format("expected a value, got {}", describe_now()));
  }

  ExpressionPtr parse_group() {  // ( value ), or a tuple, which is a list here
    if (is_sign(")")) return parse_items(node(ExpressionKind::list), ")");
    ExpressionPtr value = parse_expression();
    if (skip_sign(")")) return value;
    ExpressionPtr tuple = node(ExpressionKind::list);
    put(*tuple, std::move(value));
    expect_sign(",");
    return parse_items(std::move(tuple), ")");
  }

  ExpressionPtr parse_items(ExpressionPtr list, const char* end) {
    while (!skip_sign(end)) {
      put(*list, parse_expression());
      if (!is_sign(end)) expect_sign(",");
    }
    return list;
  }

  ExpressionPtr parse_dictionary() {
    ExpressionPtr dictionary = node(ExpressionKind::dictionary);
    while (!skip_sign("}")) {
      put(*dictionary, parse_expression());
      expect_sign(":");
      put(*dictionary, parse_expression());
      if (!is_sign("}")) expect_sign(",");
    }
    return dictionary;
  }

  ExpressionPtr parse_postfix(ExpressionPtr value) {
    for (;;) {
      if (skip_sign(".")) {
        ExpressionPtr made = node(ExpressionKind::attribute, expect_name());
        put(*made, std::move(value));
        value = std::move(made);
      } else if (skip_sign("[")) {
        value = parse_subscript(std::move(value));
      } else if (skip_sign("(")) {
        ExpressionPtr made = node(ExpressionKind::call);
        put(*made, std::move(value));
        parse_arguments(*made);
        value = std::move(made);
      } else {
        return value;
      }
    }
  }

  ExpressionPtr parse_subscript(ExpressionPtr value) {
    ExpressionPtr made = node(ExpressionKind::item);
    put(*made, std::move(value));
    const auto part = [&] { put(*made, is_sign(":") || is_sign("]") ? nullptr : parse_expression()); };
    part();
    if (is_sign(":")) {
      made->kind = ExpressionKind::slice;
      for (int i = 0; i < 2; ++i) {
        if (skip_sign(":")) part();
        else put(*made, nullptr);
      }
    } else if (made->operands[1] == nullptr) {
      refuse("expected an index, got ]");
    }
    expect_sign("]");
    return made;
  }

  void parse_arguments(Expression& call) {
    while (!skip_sign(")")) {
      if (now().kind == TokenKind::name && tokens_[at_ + 1].kind == TokenKind::sign && tokens_[at_ + 1].text == "=") {
        std::string name = take().text;
        take();
        ExpressionPtr value = parse_expression();
        call.depth = std::max(call.depth, value->depth + 1);
        call.named.emplace_back(std::move(name), std::move(value));
      } else {
        put(call, parse_expression());
      }
      if (!is_sign(")")) expect_sign(",");
    }
  }

  ExpressionPtr parse_filters(ExpressionPtr value) {
    for (;;) {
      if (skip_sign("|")) {
        ExpressionPtr made = node(ExpressionKind::filter, expect_name());
        put(*made, std::move(value));
        if (skip_sign("(")) parse_arguments(*made);
        value = std::move(made);
      } else if (skip_word("is")) {
        ExpressionPtr made = node(ExpressionKind::test, {}, skip_word("not") ? 1 : 0);
        made->text = expect_name();
        put(*made, std::move(value));
        value = std::move(made);
      } else {
        return value;
      }
    }
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace

Body parse(std::string_view source) { return Parser(source).run(); }

}  // namespace vigor::jinja
