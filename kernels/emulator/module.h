#pragma once
// A PTX text, read: its kernels, their parameters and limits, its variables placed in device memory.
//
// Declarations are read at once; a kernel's instructions are translated when it is first launched (or prepared), so an
// instruction unknown to the emulator is an error that names it and its line, then.
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/emulator/memory.h"

namespace vigor::emulator {

struct KernelParameter {
  std::string name;
  uint32_t offset = 0, bytes = 0, align = 1;  // in the kernel's parameter block
};

struct KernelInfo {
  std::string name;  // mangled
  std::vector<KernelParameter> parameters;
  uint32_t parameter_bytes = 0;
  uint32_t static_shared_bytes = 0;   // 0 until Module::code was called for it
  uint32_t local_bytes = 0;           // per thread; the same
  std::array<uint32_t, 3> maxntid{};  // __launch_bounds__; zeros: none
  std::array<uint32_t, 3> reqntid{};  // exact block size, zeros: none
  uint32_t min_blocks_per_sm = 0;

  // Largest number of threads in a block.
  uint32_t max_threads_per_block() const {
    return maxntid[0] ? maxntid[0] * maxntid[1] * maxntid[2]
                      : (reqntid[0] ? reqntid[0] * reqntid[1] * reqntid[2] : 1024);
  }
};

struct ModuleVariable {
  std::string name;  // mangled
  uint64_t address = 0, bytes = 0;
  bool constant = false;  // __constant__
};

class KernelCode;   // kernel_code.h: the translated instructions
struct ModuleText;  // the parsed text

class Module {
 public:
  // `name` appears in error messages (a file name). Allocates and initialises the variables in `memory`, which must
  // outlive the module. Fault invalid_ptx with a line number.
  Module(std::string ptx, std::string name, DeviceMemory& memory);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const std::vector<KernelInfo>& kernels() const;
  const KernelInfo* find_kernel(std::string_view name) const;  // null: none of that name
  const std::vector<ModuleVariable>& variables() const;
  const ModuleVariable* find_variable(std::string_view name) const;
  DeviceMemory& memory() const { return memory_; }
  const std::string& name() const { return name_; }

  // The kernel's translated instructions, made on the first call. Thread safe. Fault unknown_symbol or invalid_ptx.
  const KernelCode& code(std::string_view kernel) const;

 private:
  std::string name_;
  DeviceMemory& memory_;
  std::unique_ptr<ModuleText> text_;
};

}  // namespace vigor::emulator
