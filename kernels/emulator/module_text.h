#pragma once
// A PTX module as it was read: declarations, and the text of the functions' bodies.
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernels/emulator/instruction.h"
#include "kernels/emulator/lexer.h"
#include "kernels/emulator/module.h"

namespace vigor::emulator {

// A variable or parameter: its place is found later.
struct Declaration {
  std::string name;
  uint32_t align = 1;
  uint64_t bytes = 0;  // 0: an array without a size (extern shared memory)
  uint32_t element_bytes = 0;
  bool is_predicate = false;
  uint32_t count = 0;  // .reg .f32 %f<20>: 20; 0: one register of this very name
};

struct Relocation {  // an initial value that is an address
  uint64_t offset = 0;
  std::string symbol;
  int64_t addend = 0;
};

struct FunctionText {
  std::string name;
  bool is_kernel = false;
  bool has_body = false;
  std::vector<Declaration> results, parameters;
  std::string_view body;
  uint32_t body_line = 0;
};

struct ModuleText {
  std::string ptx;
  std::vector<FunctionText> functions;
  std::unordered_map<std::string_view, size_t> function_index;  // the definition, else the declaration
  std::vector<Declaration> shared;                              // of the module, also extern
  std::vector<KernelInfo> kernels;
  std::vector<ModuleVariable> variables;
  std::map<uint32_t, std::string> files;  // .file

  std::mutex mutex;  // of what follows
  std::map<std::string, std::unique_ptr<KernelCode>, std::less<>> code;

  const FunctionText* find_function(std::string_view name) const;
};

// Bytes of a type such as ".f32"; 0 for other words. A predicate counts as 1.
uint32_t type_bytes(std::string_view type);

// What follows a state space: [.align n] [.v2|.v4] .type name [<count>] [[n]...]. Stops before '=', ',', ';' or ')'.
Declaration read_declaration(Lexer& lexer);

// translator.cpp: the kernel's instructions, with all functions that it calls.
std::unique_ptr<KernelCode> translate(const Module& module, const ModuleText& text, const KernelInfo& kernel);

}  // namespace vigor::emulator
