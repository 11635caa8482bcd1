// Reading a module's declarations.
#include "kernels/emulator/module.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "kernels/emulator/module_text.h"

namespace vigor::emulator {
namespace {

uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// The reader of one text; throws through the lexer.
class ModuleReader {
 public:
  ModuleReader(ModuleText& text, std::string_view source, DeviceMemory& memory)
      : text_(text), lexer_(text.ptx, source), memory_(memory) {}

  void read() {
    while (lexer_.peek().kind != Token::Kind::end) directive();
    for (const auto& [address, relocation] : relocations_) relocate(address, relocation);
  }

 private:
  void directive() {
    const std::string_view word = lexer_.word();
    if (word == ".version" || word == ".target" || word == ".address_size" || word == ".pragma") {
      lexer_.skip_line();
    } else if (word == ".file") {
      const auto number = static_cast<uint32_t>(lexer_.integer());
      text_.files[number] = std::string(lexer_.next().text);
      while (lexer_.accept(",")) lexer_.integer();  // time stamp and size
    } else if (word == ".extern" || word == ".visible" || word == ".weak" || word == ".common") {
      is_extern_ = word == ".extern";
      return;  // belongs to the next directive
    } else if (word == ".func" || word == ".entry") {
      function(word == ".entry");
    } else if (word == ".global" || word == ".const") {
      variable(word == ".const");
    } else if (word == ".shared") {
      text_.shared.push_back(read_declaration(lexer_));
      lexer_.expect(";");
    } else if (word == ".section") {
      lexer_.word();
      lexer_.expect("{");
      uint32_t line;
      lexer_.braces(line);
    } else {
      lexer_.fail(fmt::format("'{}' is not a directive that the emulator knows", word));
    }
    is_extern_ = false;
  }

  void variable(bool constant) {
    if (lexer_.peek().is(".attribute")) {
      lexer_.fail("a __managed__ variable; the emulator has none (cudaMallocManaged works)");
    }
    const Declaration declaration = read_declaration(lexer_);
    if (is_extern_) lexer_.fail("an extern variable needs device linking, which the emulator does not have");
    ModuleVariable variable{declaration.name, 0, declaration.bytes, constant};
    variable.address =
        memory_.allocate(variable.bytes, constant ? RangeKind::constant : RangeKind::variable, variable.name);
    text_.variables.push_back(variable);
    std::byte* bytes = memory_.translate(variable.address, variable.bytes, "a variable");
    std::memset(bytes, 0, variable.bytes);
    if (lexer_.accept("=")) {
      uint64_t offset = 0;
      initializer(declaration, variable.address, bytes, offset);
    }
    lexer_.expect(";");
  }

  // A value, or a list in braces, at `offset`, which moves on.
  void initializer(const Declaration& declaration, uint64_t address, std::byte* bytes, uint64_t& offset) {
    if (lexer_.accept("{")) {
      if (lexer_.accept("}")) return;
      do initializer(declaration, address, bytes, offset);
      while (lexer_.accept(","));
      lexer_.expect("}");
      return;
    }
    const uint32_t size = declaration.element_bytes;
    if (offset + size > declaration.bytes) lexer_.fail("more initial values than the variable has elements");
    if (lexer_.peek().kind == Token::Kind::word) {
      Relocation relocation;
      relocation.offset = offset;
      std::string_view name = lexer_.word();
      const bool generic = name == "generic" && lexer_.accept("(");
      if (generic) name = lexer_.word();
      relocation.symbol = std::string(name);
      if (generic) lexer_.expect(")");
      if (lexer_.accept("+")) relocation.addend = static_cast<int64_t>(lexer_.integer());
      if (size != 8) lexer_.fail("an address in a variable that is not 64 bits wide");
      relocations_.emplace_back(address, relocation);
    } else {
      Number value = lexer_.number();
      if (value.form == Number::Form::f64 && size == 4) {
        value.bits = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(value.bits)));
      }
      std::memcpy(bytes + offset, &value.bits, size);  // little endian
    }
    offset += size;
  }

  void relocate(uint64_t address, const Relocation& relocation) {
    for (const ModuleVariable& variable : text_.variables) {
      if (variable.name != relocation.symbol) continue;
      const uint64_t value = variable.address + static_cast<uint64_t>(relocation.addend);
      std::memcpy(memory_.translate(address + relocation.offset, 8, "a variable"), &value, 8);
      return;
    }
    lexer_.fail(
        fmt::format("a variable's initial value is the address of '{}', which is not one of the module's "
                    "variables",
                    relocation.symbol));
  }

  std::vector<Declaration> parameter_list() {
    std::vector<Declaration> list;
    lexer_.expect("(");
    while (!lexer_.accept(")")) {
      const std::string_view space = lexer_.word();
      if (space != ".param" && space != ".reg") lexer_.fail("'.param' expected");
      list.push_back(read_declaration(lexer_));
      lexer_.accept(",");
    }
    return list;
  }

  void function(bool is_kernel) {
    FunctionText function;
    function.is_kernel = is_kernel;
    if (!is_kernel && lexer_.peek().is("(")) function.results = parameter_list();
    function.name = std::string(lexer_.word());
    if (lexer_.peek().is("(")) function.parameters = parameter_list();
    KernelInfo info;
    info.name = function.name;
    limits(info);
    if (!lexer_.accept(";")) {
      lexer_.expect("{");
      function.has_body = true;
      function.body = lexer_.braces(function.body_line);
    }
    if (is_kernel && function.has_body) {
      for (const Declaration& p : function.parameters) {
        const auto offset = static_cast<uint32_t>(round_up(info.parameter_bytes, p.align));
        info.parameters.push_back({p.name, offset, static_cast<uint32_t>(p.bytes), p.align});
        info.parameter_bytes = offset + static_cast<uint32_t>(p.bytes);
      }
      text_.kernels.push_back(info);
    }
    text_.functions.push_back(std::move(function));
  }

  // .maxntid and its relatives, between a function's parameters and its body.
  void limits(KernelInfo& info) {
    const auto three = [&](std::array<uint32_t, 3>& sizes) {
      sizes = {1, 1, 1};
      size_t i = 0;
      do {
        if (i == 3) lexer_.fail("three sizes at most");
        sizes[i++] = static_cast<uint32_t>(lexer_.integer());
      } while (lexer_.accept(","));
    };
    while (lexer_.peek().kind == Token::Kind::word) {
      const std::string_view word = lexer_.word();
      if (word == ".maxntid") {
        three(info.maxntid);
      } else if (word == ".reqntid") {
        three(info.reqntid);
      } else if (word == ".minnctapersm") {
        info.min_blocks_per_sm = static_cast<uint32_t>(lexer_.integer());
      } else if (word == ".maxnreg" || word == ".maxnctapersm") {
        lexer_.integer();
      } else if (word != ".noreturn") {
        lexer_.fail(fmt::format("'{}' is not a function directive that the emulator knows", word));
      }
    }
  }

  ModuleText& text_;
  Lexer lexer_;
  DeviceMemory& memory_;
  bool is_extern_ = false;
  std::vector<std::pair<uint64_t, Relocation>> relocations_;
};

}  // namespace

uint32_t type_bytes(std::string_view type) {
  if (type.size() < 3 || type[0] != '.') return 0;
  if (type == ".pred") return 1;
  if (type.ends_with("f16x2")) return 4;  // also .bf16x2
  if (std::string_view("busf").find(type[1]) == std::string_view::npos) return 0;
  if (type.ends_with("16")) return 2;
  if (type.ends_with("128")) return 16;
  if (type.ends_with("32")) return 4;
  if (type.ends_with("64")) return 8;
  return type.ends_with("8") ? 1 : 0;
}

Declaration read_declaration(Lexer& lexer) {
  Declaration declaration;
  uint32_t width = 1;
  bool aligned = false;
  while (true) {
    const std::string_view word = lexer.word();
    if (word == ".align") {
      declaration.align = static_cast<uint32_t>(lexer.integer());
      aligned = true;
    } else if (word == ".v2" || word == ".v4") {
      width = word == ".v2" ? 2 : 4;
    } else if (word == ".ptr") {  // .param .u64 .ptr .global .align 4 name: what the pointer points to
      while (lexer.peek().is(".global") || lexer.peek().is(".shared") || lexer.peek().is(".const") ||
             lexer.peek().is(".local")) {
        lexer.next();
      }
      if (lexer.accept(".align")) lexer.integer();
    } else if (const uint32_t bytes = type_bytes(word)) {
      declaration.element_bytes = bytes;
      declaration.is_predicate = word == ".pred";
    } else if (word[0] == '.') {
      lexer.fail(fmt::format("'{}' in a declaration is not known to the emulator", word));
    } else {
      declaration.name = std::string(word);
      break;
    }
  }
  if (declaration.element_bytes == 0) lexer.fail("a type expected");
  if (!aligned) declaration.align = declaration.element_bytes * width;
  declaration.bytes = uint64_t{declaration.element_bytes} * width;
  if (lexer.accept("<")) {
    declaration.count = static_cast<uint32_t>(lexer.integer());
    lexer.expect(">");
  }
  while (lexer.accept("[")) {
    declaration.bytes *= lexer.peek().is("]") ? 0 : lexer.integer();
    lexer.expect("]");
  }
  return declaration;
}

const FunctionText* ModuleText::find_function(std::string_view name) const {
  const auto found = function_index.find(name);
  return found == function_index.end() ? nullptr : &functions[found->second];
}

Module::Module(std::string ptx, std::string name, DeviceMemory& memory)
    : name_(std::move(name)), memory_(memory), text_(std::make_unique<ModuleText>()) {
  text_->ptx = std::move(ptx);
  try {
    ModuleReader(*text_, name_, memory).read();
  } catch (...) {
    for (const ModuleVariable& variable : text_->variables) memory_.free(variable.address);
    throw;
  }
  for (size_t i = 0; i < text_->functions.size(); ++i) {
    const FunctionText& function = text_->functions[i];
    if (function.has_body) {
      text_->function_index[function.name] = i;
    } else {
      text_->function_index.emplace(function.name, i);
    }
  }
}

Module::~Module() {
  for (const ModuleVariable& variable : text_->variables) memory_.free(variable.address);
}

const std::vector<KernelInfo>& Module::kernels() const { return text_->kernels; }
const std::vector<ModuleVariable>& Module::variables() const { return text_->variables; }

const KernelInfo* Module::find_kernel(std::string_view name) const {
  for (const KernelInfo& kernel : text_->kernels) {
    if (kernel.name == name) return &kernel;
  }
  return nullptr;
}

const ModuleVariable* Module::find_variable(std::string_view name) const {
  for (const ModuleVariable& variable : text_->variables) {
    if (variable.name == name) return &variable;
  }
  return nullptr;
}

const KernelCode& Module::code(std::string_view kernel) const {
  const std::lock_guard lock(text_->mutex);
  const auto found = text_->code.find(kernel);
  if (found != text_->code.end()) return *found->second;
  for (KernelInfo& info : text_->kernels) {
    if (info.name != kernel) continue;
    auto code = translate(*this, *text_, info);
    info.static_shared_bytes = code->static_shared_bytes;
    info.local_bytes = code->local_bytes;
    return *text_->code.emplace(std::string(kernel), std::move(code)).first->second;
  }
  throw Fault(FaultKind::unknown_symbol, fmt::format("{}: there is no kernel '{}'", name_, kernel));
}

}  // namespace vigor::emulator
