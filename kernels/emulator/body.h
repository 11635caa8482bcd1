#pragma once
// The statements of a PTX function's body.
#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/emulator/lexer.h"
#include "kernels/emulator/module_text.h"

namespace vigor::emulator {

struct OperandText {
  enum class Kind { name, number, address, missing };  // missing: '_'
  Kind kind = Kind::name;
  std::string_view name;  // of an address: its base, empty for [number]
  Number number;
  int64_t offset = 0;    // name + offset, [name + offset]
  bool negated = false;  // !name
  bool second = false;   // the b of a|b
};

struct Statement {
  enum class Kind { instruction, call, label, declaration, open, close, branch_targets };
  Kind kind = Kind::instruction;
  KernelCode::Place place;

  std::string_view name;  // opcode, label, or a declaration's state space
  std::string_view guard;
  bool guard_negated = false;
  std::vector<OperandText> operands;  // vectors flattened
  uint32_t vector_size = 0;           // parts of the last vector, 0: none
  bool first_is_vector = false;       // the first operand is a vector

  std::vector<std::string_view> results, arguments;  // of a call
  std::string_view callee;
  Declaration declaration;
  std::vector<std::string_view> targets;
};

// File numbers of .loc directives become indices into `files` (0: unknown), which grows.
std::vector<Statement> read_body(const FunctionText& function, const ModuleText& module, std::string_view source,
                                 std::vector<std::string>& files);

}  // namespace vigor::emulator
