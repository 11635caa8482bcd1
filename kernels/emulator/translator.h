#pragma once
// Statements -> a kernel's instructions: names become planes, addresses and instruction indices.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernels/emulator/body.h"
#include "kernels/emulator/opcode.h"

namespace vigor::emulator {

// What a name in a body stands for.
struct Symbol {
  enum class Kind {
    registers,       // .reg
    local,           // .local: offset in the thread's local memory
    shared,          // .shared: offset in the block's shared memory
    parameter,       // a kernel's parameter: offset in the parameter block
    call_parameter,  // parameters of and for called functions: they live in local memory too
    dynamic_shared,  // extern .shared
    global,          // a module's variable: device address
  };
  Kind kind = Kind::registers;
  uint64_t address = 0;
  uint8_t bytes = 4;                           // registers: of a value, 0 for predicates
  std::vector<std::optional<Operand>> planes;  // registers: made when first used
};

class Translator {
 public:
  Translator(const Module& module, const ModuleText& text, KernelCode& code);
  void kernel(const KernelInfo& info);

 private:
  // A function's place in the kernel's code.
  struct Frame {
    uint32_t entry = 0;
    std::vector<Symbol> results, parameters;  // call_parameter, in order
    std::vector<uint64_t> result_bytes, parameter_bytes;
    std::optional<Operand> return_plane;  // where each lane returns to; the kernel has none
    bool done = false;                    // false while it is being translated: a call now is a recursion
  };
  using Scope = std::unordered_map<std::string_view, Symbol>;
  struct Fixup {
    size_t instruction;
    std::string_view label;
  };

  Frame& function(std::string_view name, const Statement& call);
  void body(const FunctionText& text, Frame& frame);
  void statement(const Statement& statement, Frame& frame);
  void declare(const Statement& statement);
  void call(const Statement& statement);
  void library_call(const Statement& statement, const OpRow& row);
  void branch_table(const Statement& statement);
  void instruction(const Statement& statement, Frame& frame);
  void operands_of(const Statement& statement, const Opcode& opcode, Instruction& instruction);

  // operand_lowering.cpp
  Operand destination(const OperandText& operand, char letter, const Statement& statement);
  Operand source(const OperandText& operand, char letter, const Statement& statement);
  Operand predicate(const OperandText& operand, const Statement& statement);
  Operand address(const OperandText& operand, Instruction& instruction, const Statement& statement, int64_t& offset);
  Operand symbol_address(const Symbol& symbol, int64_t addend, bool wide);
  Operand special(SpecialRegister which, char letter, const Statement& statement);
  Operand immediate(const Number& number, bool wide);
  Operand constant(uint64_t value, bool wide);
  Operand new_plane(uint8_t bytes);
  Operand register_plane(std::string_view name, const Statement& statement);
  Symbol* find(std::string_view name);  // any name that is not a register's
  std::optional<Operand> find_register(std::string_view name);

  uint64_t new_local(uint64_t bytes, uint64_t align);
  Symbol shared_symbol(const Declaration& declaration);
  // Appends an instruction; the guard is the statement's.
  size_t emit(const OpRow& row, Instruction instruction, std::vector<Operand> operands, const Statement& statement);
  void emit(const char* row, std::vector<Operand> operands, const Statement& statement, int64_t immediate_value = 0);
  void finish();
  [[noreturn]] void fail(const Statement& statement, std::string_view rule) const;

  const Module& module_;
  const ModuleText& text_;
  KernelCode& code_;
  std::map<std::string, Frame, std::less<>> frames_;
  std::vector<Scope> scopes_;
  std::unordered_map<std::string_view, uint32_t> labels_;
  std::unordered_map<std::string_view, uint32_t> tables_;
  std::vector<Fixup> fixups_;
  std::vector<std::pair<uint32_t, std::vector<std::string_view>>> table_fixups_;
  std::vector<size_t> first_operand_;                 // of each instruction, in code_.operand_pool
  std::vector<std::pair<Operand, Operand>> widened_;  // after this instruction: wide register, its narrow value
  std::map<std::pair<uint64_t, bool>, Operand> constants_;
  std::vector<uint64_t> constant_words_;
  std::map<SpecialRegister, Operand> specials_;
  std::unordered_map<std::string_view, Symbol> module_symbols_;  // made when first used
  // Extern shared arrays begin where static shared memory ends, which is known last: planes to fill in then.
  struct DynamicPlane {
    Operand plane;
    int64_t addend;
  };
  std::vector<DynamicPlane> dynamic_planes_;
  std::optional<Operand> carry_;
  uint32_t free_predicates_ = 0, next_predicate_ = 0;
  uint64_t local_bytes_ = 0;
};

}  // namespace vigor::emulator
