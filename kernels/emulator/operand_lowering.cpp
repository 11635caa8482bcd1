// Translator: operands.
#include <fmt/format.h>

#include <bit>
#include <cctype>
#include <cstring>

#include "kernels/emulator/translator.h"

namespace vigor::emulator {
namespace {

constexpr uint32_t kPlaneAlignment = 64;

}  // namespace

Operand Translator::new_plane(uint8_t bytes) {
  if (bytes == 0) {
    if (free_predicates_ == 0) {  // sixteen predicates share a cache line
      next_predicate_ = code_.register_bytes;
      free_predicates_ = kPlaneAlignment / sizeof(uint32_t);
      code_.register_bytes += kPlaneAlignment;
    }
    --free_predicates_;
    const Operand plane{next_predicate_, 0, 0, false, true};
    next_predicate_ += sizeof(uint32_t);
    return plane;
  }
  const Operand plane{code_.register_bytes, 0, bytes, false, true};
  code_.register_bytes += bytes * kWarpSize;
  return plane;
}

std::optional<Operand> Translator::find_register(std::string_view name) {
  // %r12 is number 12 of the family %r, if there is no register of that very name.
  size_t digits = name.size();
  while (digits > 0 && std::isdigit(static_cast<unsigned char>(name[digits - 1]))) --digits;
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    size_t index = 0;
    auto found = scope->find(name);
    if (found == scope->end() && digits < name.size() && name.size() - digits < 10) {
      found = scope->find(name.substr(0, digits));
      for (size_t i = digits; i < name.size(); ++i) index = index * 10 + static_cast<size_t>(name[i] - '0');
    }
    if (found == scope->end() || found->second.kind != Symbol::Kind::registers) continue;
    Symbol& family = found->second;
    if (index >= family.planes.size()) continue;
    std::optional<Operand>& plane = family.planes[index];
    if (!plane) plane = new_plane(family.bytes);
    return plane;
  }
  return std::nullopt;
}

Operand Translator::register_plane(std::string_view name, const Statement& statement) {
  const auto plane = find_register(name);
  if (!plane) fail(statement, fmt::format("'{}' is not a register", name));
  return *plane;
}

Symbol* Translator::find(std::string_view name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->find(name);
    if (found != scope->end() && found->second.kind != Symbol::Kind::registers) return &found->second;
  }
  const auto known = module_symbols_.find(name);
  if (known != module_symbols_.end()) return &known->second;
  if (const ModuleVariable* variable = module_.find_variable(name)) {
    return &(module_symbols_[variable->name] = Symbol{Symbol::Kind::global, variable->address, 0, {}});
  }
  for (const Declaration& shared : text_.shared) {
    if (shared.name == name) return &(module_symbols_[shared.name] = shared_symbol(shared));
  }
  return nullptr;
}

Operand Translator::constant(uint64_t value, bool wide) {
  if (!wide) value &= 0xffffffffu;
  const auto [found, is_new] = constants_.try_emplace({value, wide});
  if (is_new) {
    const uint8_t bytes = wide ? 8 : 4;
    found->second = Operand{static_cast<uint32_t>(constant_words_.size() * sizeof(uint64_t)), 1, bytes, false, true};
    constant_words_.insert(constant_words_.end(), kWarpSize * bytes / sizeof(uint64_t),
                           wide ? value : value << 32 | value);
  }
  return found->second;
}

Operand Translator::immediate(const Number& number, bool wide) {
  uint64_t bits = number.bits;
  if (number.form == Number::Form::f64 && !wide) {
    bits = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
  } else if (number.form == Number::Form::f32 && wide) {
    bits = std::bit_cast<uint64_t>(static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits))));
  }
  return constant(bits, wide);
}

// A special register's plane holds its value from the block's begin on.
Operand Translator::special(SpecialRegister which, char letter, const Statement& statement) {
  if (changes(which)) fail(statement, "clocks can only be read by mov");
  const auto [found, is_new] = specials_.try_emplace(which);
  if (is_new) found->second = new_plane(4);
  if (letter != 'A') return found->second;
  const Operand wide = new_plane(8);
  emit("widen", {wide, found->second}, statement);
  return wide;
}

// A name's address as a plane of constants; offsets of shared and local memory are as the space's own addresses.
Operand Translator::symbol_address(const Symbol& symbol, int64_t addend, bool wide) {
  if (symbol.kind == Symbol::Kind::dynamic_shared) {
    const uint8_t bytes = wide ? 8 : 4;
    const Operand plane{static_cast<uint32_t>(constant_words_.size() * sizeof(uint64_t)), 1, bytes, false, true};
    constant_words_.resize(constant_words_.size() + kWarpSize * bytes / sizeof(uint64_t));
    dynamic_planes_.push_back({plane, addend});
    return plane;
  }
  return constant(symbol.address + static_cast<uint64_t>(addend), wide);
}

Operand Translator::source(const OperandText& operand, char letter, const Statement& statement) {
  const bool wide = letter == 'A';
  if (operand.kind == OperandText::Kind::number) return immediate(operand.number, wide);
  if (operand.kind != OperandText::Kind::name) fail(statement, "a register or number expected");
  if (const auto which = find_special_register(operand.name)) return special(*which, letter, statement);
  if (operand.name == "WARP_SZ") return constant(kWarpSize, wide);
  const auto plane = find_register(operand.name);
  if (!plane) {
    const Symbol* symbol = find(operand.name);
    if (!symbol && text_.find_function(operand.name)) {
      fail(statement, "the address of a function, which the emulator does not have");
    }
    if (!symbol) fail(statement, fmt::format("'{}' is not declared", operand.name));
    return symbol_address(*symbol, operand.offset, wide);
  }
  if (plane->bytes == (wide ? 8 : 4)) return *plane;
  if (plane->bytes != 8) fail(statement, fmt::format("'{}' is too narrow", operand.name));
  const Operand narrow = new_plane(4);
  emit("narrow", {narrow, *plane}, statement);
  return narrow;
}

Operand Translator::predicate(const OperandText& operand, const Statement& statement) {
  if (operand.kind == OperandText::Kind::number) {  // a constant predicate
    const Operand never = constant(0, false);
    Operand value{never.offset, 1, 0, operand.number.bits != 0, true};
    return value;
  }
  Operand plane = register_plane(operand.name, statement);
  if (plane.bytes != 0) fail(statement, fmt::format("'{}' is not a predicate", operand.name));
  plane.negated = operand.negated;
  return plane;
}

Operand Translator::destination(const OperandText& operand, char letter, const Statement& statement) {
  if (operand.kind == OperandText::Kind::missing) {
    if (letter == 'q') return Operand{0, 0, 0, false, false};
    return new_plane(letter == 'p' ? 0 : (letter == 'D' ? 8 : 4));  // written, never read
  }
  const Operand plane = register_plane(operand.name, statement);
  const uint8_t wanted = letter == 'p' || letter == 'q' ? 0 : (letter == 'D' ? 8 : 4);
  if (plane.bytes == wanted) return plane;
  if (plane.bytes != 8 || wanted != 4) fail(statement, fmt::format("'{}' has the wrong width", operand.name));
  const Operand narrow = new_plane(4);
  widened_.emplace_back(plane, narrow);
  return narrow;
}

// The base of an address as a plane, its constant part as `offset`.
Operand Translator::address(const OperandText& operand, Instruction& instruction, const Statement& statement,
                            int64_t& offset) {
  if (operand.kind != OperandText::Kind::address) fail(statement, "an address in brackets expected");
  offset = operand.offset;
  if (operand.name.empty()) return constant(0, true);
  if (const auto plane = find_register(operand.name)) return *plane;
  const Symbol* symbol = find(operand.name);
  if (!symbol) fail(statement, fmt::format("'{}' is not declared", operand.name));
  if (symbol->kind == Symbol::Kind::call_parameter) {
    instruction.space = Space::local;
    instruction.unchecked = true;
  }
  return symbol_address(*symbol, 0, true);
}

}  // namespace vigor::emulator
