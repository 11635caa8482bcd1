#include "kernels/emulator/translator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/emulator/environment.h"

namespace vigor::emulator {
namespace {

uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Functions that the device's library would bring: rows "call.<name>".
const OpRow* library_function(std::string_view name) { return find_row(fmt::format("call.{}", name)); }

}  // namespace

Translator::Translator(const Module& module, const ModuleText& text, KernelCode& code)
    : module_(module), text_(text), code_(code) {
  code_.files.push_back("");
}

void Translator::fail(const Statement& statement, std::string_view rule) const {
  const auto& place = statement.place;
  std::string source;
  if (place.file != 0) source = fmt::format(" ({}:{})", code_.files[place.file], place.line);
  throw Fault(FaultKind::invalid_ptx, fmt::format("{}:{}: {}, at '{}' of kernel {}{}", module_.name(), place.ptx_line,
                                                  rule, statement.name, code_.name, source));
}

void Translator::kernel(const KernelInfo& info) {
  code_.name = info.name;
  code_.parameter_bytes = info.parameter_bytes;
  const FunctionText& text = *text_.find_function(info.name);
  Frame frame;
  scopes_.emplace_back();
  for (const KernelParameter& parameter : info.parameters) {
    scopes_.back()[parameter.name] = Symbol{Symbol::Kind::parameter, parameter.offset, 0, {}};
  }
  body(text, frame);
  scopes_.pop_back();
  finish();
}

// The frame of a called function, translated on its first call. Callees come before their callers: lanes in a function
// are at a lower program counter than lanes that wait for them behind the call.
Translator::Frame& Translator::function(std::string_view name, const Statement& call) {
  const auto found = frames_.find(name);
  if (found != frames_.end()) {
    if (!found->second.done) fail(call, fmt::format("'{}' calls itself; the emulator has no recursion", name));
    return found->second;
  }
  const FunctionText* text = text_.find_function(name);
  if (!text || !text->has_body) {
    fail(call, fmt::format("'{}' is neither defined in the module nor known to the emulator", name));
  }
  Frame& frame = frames_[std::string(name)];
  frame.return_plane = new_plane(4);
  code_.return_planes.push_back(frame.return_plane->offset);
  std::vector<Scope> outer;
  outer.swap(scopes_);
  scopes_.emplace_back();
  const auto declare_all = [&](const std::vector<Declaration>& list, std::vector<Symbol>& symbols,
                               std::vector<uint64_t>& bytes) {
    for (const Declaration& declaration : list) {
      Symbol symbol{Symbol::Kind::call_parameter, new_local(declaration.bytes, declaration.align), 0, {}};
      scopes_.back()[declaration.name] = symbol;
      symbols.push_back(symbol);
      bytes.push_back(declaration.bytes);
    }
  };
  declare_all(text->results, frame.results, frame.result_bytes);
  declare_all(text->parameters, frame.parameters, frame.parameter_bytes);
  body(*text, frame);
  scopes_.swap(outer);
  frame.done = true;
  return frame;
}

void Translator::body(const FunctionText& text, Frame& frame) {
  const std::vector<Statement> statements = read_body(text, text_, module_.name(), code_.files);
  // Callees first, so that this function's instructions are contiguous.
  for (const Statement& call : statements) {
    if (call.kind == Statement::Kind::call && !library_function(call.callee)) function(call.callee, call);
  }
  labels_.clear();
  tables_.clear();
  fixups_.clear();
  table_fixups_.clear();
  frame.entry = static_cast<uint32_t>(code_.instructions.size());
  code_.entry = frame.entry;
  for (const Statement& one : statements) statement(one, frame);
  Statement end;
  end.name = "ret";
  if (!statements.empty()) end.place = statements.back().place;
  instruction(end, frame);
  const auto target = [&](std::string_view label) {
    const auto found = labels_.find(label);
    if (found == labels_.end()) fail(end, fmt::format("there is no label '{}'", label));
    return found->second;
  };
  for (const Fixup& fixup : fixups_) code_.instructions[fixup.instruction].immediate = target(fixup.label);
  for (const auto& [table, labels] : table_fixups_) {
    for (const std::string_view label : labels) code_.branch_tables[table].push_back(target(label));
  }
}

void Translator::statement(const Statement& statement, Frame& frame) {
  switch (statement.kind) {
    case Statement::Kind::instruction:
      return instruction(statement, frame);
    case Statement::Kind::call:
      return call(statement);
    case Statement::Kind::label:
      labels_[statement.name] = static_cast<uint32_t>(code_.instructions.size());
      return;
    case Statement::Kind::declaration:
      return declare(statement);
    case Statement::Kind::open:
      scopes_.emplace_back();
      return;
    case Statement::Kind::close:
      scopes_.pop_back();
      return;
    case Statement::Kind::branch_targets:
      return branch_table(statement);
  }
}

void Translator::declare(const Statement& statement) {
  const Declaration& declaration = statement.declaration;
  Symbol symbol;
  if (statement.name == ".reg") {
    if (declaration.element_bytes > 8) fail(statement, "128-bit registers are not known to the emulator");
    symbol.bytes = declaration.is_predicate ? 0 : (declaration.element_bytes > 4 ? 8 : 4);
    symbol.planes.resize(std::max(declaration.count, 1u));
    code_.register_count += declaration.is_predicate ? 0 : std::max(declaration.count, 1u) * symbol.bytes / 4;
  } else if (statement.name == ".shared") {
    symbol = shared_symbol(declaration);
  } else {
    symbol.kind = statement.name == ".local" ? Symbol::Kind::local : Symbol::Kind::call_parameter;
    symbol.address = new_local(declaration.bytes, declaration.align);
  }
  scopes_.back()[declaration.name] = std::move(symbol);
}

uint64_t Translator::new_local(uint64_t bytes, uint64_t align) {
  local_bytes_ = round_up(local_bytes_, std::max<uint64_t>(align, 1));
  const uint64_t offset = local_bytes_;
  local_bytes_ += bytes;
  return offset;
}

Symbol Translator::shared_symbol(const Declaration& declaration) {
  if (declaration.bytes == 0) return Symbol{Symbol::Kind::dynamic_shared, 0, 0, {}};
  const uint64_t offset = round_up(code_.static_shared_bytes, std::max(declaration.align, 1u));
  code_.static_shared_bytes = static_cast<uint32_t>(offset + declaration.bytes);
  return Symbol{Symbol::Kind::shared, offset, 0, {}};
}

void Translator::branch_table(const Statement& statement) {
  tables_[statement.name] = static_cast<uint32_t>(code_.branch_tables.size());
  table_fixups_.emplace_back(static_cast<uint32_t>(code_.branch_tables.size()), statement.targets);
  code_.branch_tables.emplace_back();
}

void Translator::call(const Statement& statement) {
  if (const OpRow* row = library_function(statement.callee)) return library_call(statement, *row);
  const Frame& frame = function(statement.callee, statement);
  if (statement.arguments.size() != frame.parameters.size() || statement.results.size() != frame.results.size()) {
    fail(statement, fmt::format("'{}' is called with another number of parameters than it has", statement.callee));
  }
  const auto copy = [&](const Symbol& to, std::string_view name, bool in, uint64_t bytes) {
    const Symbol* mine = find(name);
    if (!mine || mine->kind != Symbol::Kind::call_parameter) {
      fail(statement, fmt::format("'{}' is not a .param variable", name));
    }
    const Operand inner{static_cast<uint32_t>(to.address)}, outer{static_cast<uint32_t>(mine->address)};
    emit("call.copy", {in ? inner : outer, in ? outer : inner}, statement, static_cast<int64_t>(bytes));
  };
  for (size_t i = 0; i < statement.arguments.size(); ++i) {
    copy(frame.parameters[i], statement.arguments[i], true, frame.parameter_bytes[i]);
  }
  emit("call", {*frame.return_plane}, statement, frame.entry);
  for (size_t i = 0; i < statement.results.size(); ++i) {
    copy(frame.results[i], statement.results[i], false, frame.result_bytes[i]);
  }
}

// Operands: where in local memory the results and arguments are.
void Translator::library_call(const Statement& statement, const OpRow& row) {
  std::vector<Operand> places;
  for (const auto* list : {&statement.results, &statement.arguments}) {
    for (const std::string_view name : *list) {
      const Symbol* symbol = find(name);
      if (!symbol) fail(statement, fmt::format("'{}' is not declared", name));
      places.push_back(Operand{static_cast<uint32_t>(symbol->address)});
    }
  }
  emit(row, {}, std::move(places), statement);
}

void Translator::instruction(const Statement& statement, Frame& frame) {
  const std::string_view name = statement.name;
  if (name == "ret" || name == "ret.uni") {
    if (frame.return_plane) return emit("ret", {*frame.return_plane}, statement);
    return emit("exit", {}, statement);
  }
  if (name == "bra" || name == "bra.uni") {
    if (statement.operands.size() != 1) fail(statement, "a branch has one label");
    fixups_.push_back({code_.instructions.size(), statement.operands[0].name});
    return emit("bra", {}, statement);
  }
  if (name == "brx.idx" || name == "brx.idx.uni") {
    if (statement.operands.size() != 2) fail(statement, "an index and a table expected");
    const auto table = tables_.find(statement.operands[1].name);
    if (table == tables_.end()) fail(statement, "the branch's table of labels must come before it");
    return emit("brx.idx", {source(statement.operands[0], 'a', statement)}, statement, table->second);
  }
  if (name.starts_with("mov.") && statement.operands.size() == 2) {
    // Registers that change while the kernel runs are read by an instruction.
    const auto which = find_special_register(statement.operands[1].name);
    if (which && changes(*which)) {
      const bool wide = name.ends_with("64");
      const Operand d = destination(statement.operands[0], wide ? 'D' : 'd', statement);
      return emit(wide ? "mov.clock.u64" : "mov.clock.u32", {d}, statement, static_cast<int64_t>(*which));
    }
  }
  const bool unpacks = statement.first_is_vector;
  const auto opcode = find_opcode(name, statement.vector_size, unpacks);
  if (!opcode) fail(statement, "the emulator does not have this instruction");
  if (!has_environment(opcode->environment)) fail(statement, "this processor cannot flush subnormal numbers");
  Instruction instruction;
  instruction.space = opcode->space.value_or(Space::global);
  instruction.generic_address = !opcode->space;
  instruction.is_volatile = opcode->is_volatile;
  instruction.combine = opcode->combine;
  instruction.environment = opcode->environment;
  operands_of(statement, *opcode, instruction);
}

void Translator::operands_of(const Statement& statement, const Opcode& opcode, Instruction& instruction) {
  const std::string_view letters = opcode.row->operands;
  const auto& texts = statement.operands;
  std::vector<Operand> operands;
  widened_.clear();
  size_t at = 0;
  bool has_address = false;
  const auto required = [](std::string_view rest) {
    return static_cast<size_t>(
        std::count_if(rest.begin(), rest.end(), [](char c) { return c != 'q' && c != 'o' && c != 'k'; }));
  };
  std::string all(letters);
  if (opcode.combine != Combine::none) all += 'c';
  for (size_t i = 0; i < all.size(); ++i) {
    const char letter = all[i];
    if (letter == 'k') {
      if (!carry_) carry_ = new_plane(0);
      operands.push_back(*carry_);
      continue;
    }
    const bool absent = (letter == 'q' && (at >= texts.size() || !texts[at].second)) ||
                        (letter == 'o' && texts.size() - at <= required(std::string_view(all).substr(i + 1)));
    if (absent) {
      operands.push_back(Operand{0, 0, 4, false, false});
      continue;
    }
    if (at >= texts.size()) fail(statement, "too few operands");
    const OperandText& text = texts[at++];
    switch (letter) {
      case 'd':
      case 'D':
      case 'p':
      case 'q':
        operands.push_back(destination(text, letter, statement));
        break;
      case 'c':
        operands.push_back(predicate(text, statement));
        break;
      case 'n':
        instruction.immediate = static_cast<int64_t>(text.number.bits);
        break;
      case 'm': {
        int64_t offset = 0;
        operands.push_back(address(text, instruction, statement, offset));
        if (has_address) instruction.environment = static_cast<uint32_t>(offset);
        if (!has_address) instruction.immediate = offset;
        has_address = true;
        break;
      }
      default:
        operands.push_back(source(text, letter == 'o' ? 'a' : letter, statement));
        break;
    }
  }
  if (at != texts.size()) fail(statement, "too many operands");
  emit(*opcode.row, instruction, std::move(operands), statement);
  const char* widen = opcode.signed_value ? "widen.signed" : "widen";
  const auto pairs = std::move(widened_);
  for (const auto& [wide, narrow] : pairs) emit(widen, {wide, narrow}, statement);
}

size_t Translator::emit(const OpRow& row, Instruction instruction, std::vector<Operand> operands,
                        const Statement& statement) {
  instruction.run = row.handler;
  // An address's second offset shares the field (cp.async); only rows that compute have an environment.
  if (instruction.environment != 0 && (row.flags & (kRounds | kFlushes))) {
    instruction.inner = row.handler;
    instruction.run = run_in_environment;
  }
  instruction.control = row.flags & kControl;
  instruction.operand_count = static_cast<uint8_t>(operands.size());
  if (!statement.guard.empty()) {
    instruction.guard = register_plane(statement.guard, statement).offset;
    instruction.guard_negated = statement.guard_negated;
  }
  first_operand_.push_back(code_.operand_pool.size());
  code_.operand_pool.insert(code_.operand_pool.end(), operands.begin(), operands.end());
  code_.instructions.push_back(instruction);
  code_.places.push_back(statement.place);
  code_.texts.emplace_back(statement.name);
  return code_.instructions.size() - 1;
}

void Translator::emit(const char* row, std::vector<Operand> operands, const Statement& statement,
                      int64_t immediate_value) {
  Instruction instruction;
  instruction.immediate = immediate_value;
  const OpRow* found = find_row(row);
  if (!found) fail(statement, fmt::format("the instruction table has no row '{}'", row));
  emit(*found, instruction, std::move(operands), statement);
}

void Translator::finish() {
  constexpr uint64_t kSharedAlignment = 16;  // of dynamic shared memory
  const uint64_t dynamic = round_up(code_.static_shared_bytes, kSharedAlignment);
  for (const DynamicPlane& use : dynamic_planes_) {
    const uint64_t value = dynamic + static_cast<uint64_t>(use.addend);
    std::byte* plane = reinterpret_cast<std::byte*>(constant_words_.data()) + use.plane.offset;
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      std::memcpy(plane + lane * use.plane.bytes, &value, use.plane.bytes);
    }
  }
  code_.local_bytes = static_cast<uint32_t>(round_up(local_bytes_, 16));
  const size_t bytes = std::max<size_t>(constant_words_.size(), 8) * sizeof(uint64_t);
  code_.constant_planes = {static_cast<uint64_t*>(std::aligned_alloc(64, round_up(bytes, 64))), std::free};
  std::copy(constant_words_.begin(), constant_words_.end(), code_.constant_planes.get());
  for (size_t i = 0; i < code_.instructions.size(); ++i) {
    code_.instructions[i].operands = code_.operand_pool.data() + first_operand_[i];
  }
  for (const auto& [which, plane] : specials_) code_.specials.push_back({which, plane});
}

std::unique_ptr<KernelCode> translate(const Module& module, const ModuleText& text, const KernelInfo& kernel) {
  auto code = std::make_unique<KernelCode>();
  Translator(module, text, *code).kernel(kernel);
  return code;
}

SourceLocation KernelCode::source(uint32_t instruction) const {
  const Place& place = places[instruction];
  SourceLocation source{files[place.file], place.line, place.ptx_line, texts[instruction]};
  if (place.callers) {
    for (const auto& [file, line] : *place.callers) source.callers.push_back({files[file], line});
  }
  return source;
}

}  // namespace vigor::emulator
