#include "kernels/emulator/body.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace vigor::emulator {
namespace {

class BodyReader {
 public:
  BodyReader(const FunctionText& function, const ModuleText& module, std::string_view source,
             std::vector<std::string>& files)
      : lexer_(function.body, source, function.body_line), module_(module), files_(files) {}

  std::vector<Statement> read() {
    while (lexer_.peek().kind != Token::Kind::end) statement();
    return std::move(statements_);
  }

 private:
  using Position = std::tuple<uint32_t, uint32_t, uint32_t>;  // .loc: file, line, column

  void statement() {
    place_.ptx_line = lexer_.peek().line;
    if (lexer_.accept("{")) {
      add(Statement::Kind::open);
    } else if (lexer_.accept("}")) {
      add(Statement::Kind::close);
    } else if (lexer_.accept(";")) {
      return;
    } else if (lexer_.accept("@")) {
      guarded();
    } else {
      const std::string_view word = lexer_.word();
      if (word[0] == '.') {
        directive(word);
      } else if (lexer_.accept(":")) {
        label(word);
      } else {
        instruction(word, {}, false);
      }
    }
  }

  Statement& add(Statement::Kind kind) {
    Statement& statement = statements_.emplace_back();
    statement.kind = kind;
    statement.place = place_;
    return statement;
  }

  void guarded() {
    const bool negated = lexer_.accept("!");
    const std::string_view guard = lexer_.word();
    instruction(lexer_.word(), guard, negated);
  }

  void label(std::string_view name) {
    if (lexer_.accept(".branchtargets")) {
      Statement& statement = add(Statement::Kind::branch_targets);
      statement.name = name;
      do statement.targets.push_back(lexer_.word());
      while (lexer_.accept(","));
      lexer_.expect(";");
    } else if (lexer_.peek().is(".callprototype") || lexer_.peek().is(".calltargets")) {
      lexer_.fail("a call through a function pointer, which the emulator does not have");
    } else {
      add(Statement::Kind::label).name = name;
    }
  }

  void directive(std::string_view word) {
    if (word == ".reg" || word == ".local" || word == ".shared" || word == ".param") {
      Declaration declaration = read_declaration(lexer_);
      while (true) {
        Statement& statement = add(Statement::Kind::declaration);
        statement.name = word;
        statement.declaration = declaration;
        if (!lexer_.accept(",")) break;
        declaration.name = std::string(lexer_.word());  // .reg .b32 a, b: of the same type
      }
      lexer_.expect(";");
    } else if (word == ".loc") {
      location();
    } else if (word == ".pragma") {
      while (!lexer_.accept(";")) lexer_.next();
    } else {
      lexer_.fail(fmt::format("'{}' is not a directive that the emulator knows", word));
    }
  }

  // .loc file line column [, function_name label[+n], inlined_at file line column]
  void location() {
    const auto position = [&] {
      const auto file = static_cast<uint32_t>(lexer_.integer());
      const auto line = static_cast<uint32_t>(lexer_.integer());
      return Position{file, line, static_cast<uint32_t>(lexer_.integer())};
    };
    Position at = position();
    inlined_at_.erase(at);
    while (lexer_.accept(",")) {
      const std::string_view word = lexer_.word();
      if (word == "function_name") {
        lexer_.word();
        if (lexer_.accept("+")) lexer_.integer();
      } else if (word == "inlined_at") {
        inlined_at_[at] = position();
      } else {
        lexer_.fail("'function_name' or 'inlined_at' expected");
      }
    }
    // A line of the toolkit's headers says little: show the line that called into them.
    for (int depth = 0; depth < 64 && in_toolkit(std::get<0>(at)); ++depth) {
      const auto caller = inlined_at_.find(at);
      if (caller == inlined_at_.end()) break;
      at = caller->second;
    }
    place_.file = file_index(std::get<0>(at));
    place_.line = std::get<1>(at);
    std::vector<std::pair<uint32_t, uint32_t>> callers;
    while (callers.size() < 64) {
      const auto caller = inlined_at_.find(at);
      if (caller == inlined_at_.end()) break;
      at = caller->second;
      callers.emplace_back(file_index(std::get<0>(at)), std::get<1>(at));
    }
    place_.callers.reset();
    if (!callers.empty()) place_.callers = std::make_shared<const decltype(callers)>(std::move(callers));
  }

  bool in_toolkit(uint32_t file) const {
    const auto found = module_.files.find(file);
    return found != module_.files.end() &&
           (found->second.find("/cuda") != std::string::npos && found->second.find("/include/") != std::string::npos);
  }

  uint32_t file_index(uint32_t file) {
    const auto [at, is_new] = file_indices_.emplace(file, 0);
    if (is_new) {
      const auto name = module_.files.find(file);
      if (name == module_.files.end()) return 0;
      const auto known = std::find(files_.begin(), files_.end(), name->second);
      at->second = static_cast<uint32_t>(known - files_.begin());
      if (known == files_.end()) files_.push_back(name->second);
    }
    return at->second;
  }

  void instruction(std::string_view opcode, std::string_view guard, bool negated) {
    const bool is_call = opcode == "call" || opcode == "call.uni";
    Statement& statement = add(is_call ? Statement::Kind::call : Statement::Kind::instruction);
    statement.name = opcode;
    statement.guard = guard;
    statement.guard_negated = negated;
    if (is_call) {
      call(statement);
    } else if (!lexer_.peek().is(";")) {
      do operand(statement);
      while (lexer_.accept(","));
    }
    lexer_.expect(";");
  }

  // call [(results),] function [, (arguments)]
  void call(Statement& statement) {
    if (lexer_.peek().is("(")) {
      statement.results = names();
      lexer_.expect(",");
    }
    statement.callee = lexer_.word();
    if (statement.callee[0] == '%') lexer_.fail("a call through a function pointer, which the emulator does not have");
    if (lexer_.accept(",")) statement.arguments = names();
  }

  std::vector<std::string_view> names() {
    std::vector<std::string_view> list;
    lexer_.expect("(");
    while (!lexer_.accept(")")) {
      list.push_back(lexer_.word());
      lexer_.accept(",");
    }
    return list;
  }

  void operand(Statement& statement) {
    if (lexer_.accept("{")) {
      statement.first_is_vector |= statement.operands.empty();
      const size_t before = statement.operands.size();
      do statement.operands.push_back(simple());
      while (lexer_.accept(","));
      lexer_.expect("}");
      statement.vector_size = static_cast<uint32_t>(statement.operands.size() - before);
      return;
    }
    if (lexer_.accept("[")) {
      OperandText address;
      if (!lexer_.peek().is("-") && lexer_.peek().kind != Token::Kind::number) {
        address.name = lexer_.word();
        if (lexer_.accept("+")) address.offset = static_cast<int64_t>(lexer_.integer());
      } else {
        address.offset = static_cast<int64_t>(lexer_.integer());
      }
      address.kind = OperandText::Kind::address;
      lexer_.expect("]");
      statement.operands.push_back(address);
      return;
    }
    statement.operands.push_back(simple());
    if (lexer_.accept("|")) {
      OperandText second = simple();
      second.second = true;
      statement.operands.push_back(second);
    }
  }

  OperandText simple() {
    OperandText operand;
    operand.negated = lexer_.accept("!");
    const Token& token = lexer_.peek();
    if (token.kind == Token::Kind::number || token.is("-")) {
      operand.kind = OperandText::Kind::number;
      operand.number = lexer_.number();
    } else {
      operand.name = lexer_.word();
      if (operand.name == "_") operand.kind = OperandText::Kind::missing;
      if (lexer_.accept("+")) operand.offset = static_cast<int64_t>(lexer_.integer());
    }
    return operand;
  }

  Lexer lexer_;
  const ModuleText& module_;
  std::vector<std::string>& files_;
  std::vector<Statement> statements_;
  KernelCode::Place place_;
  std::map<Position, Position> inlined_at_;
  std::map<uint32_t, uint32_t> file_indices_;
};

}  // namespace

std::vector<Statement> read_body(const FunctionText& function, const ModuleText& module, std::string_view source,
                                 std::vector<std::string>& files) {
  return BodyReader(function, module, source, files).read();
}

}  // namespace vigor::emulator
