#include "kernels/emulator/program_check.h"

#include <algorithm>
#include <set>

#include "kernels/emulator/elf_file.h"
#include "kernels/emulator/fatbinary.h"

namespace vigor::emulator {
namespace {

constexpr const char* kRuntime = "libcudart.so.13";
constexpr const char* kProducts = "libcublasLt.so.13";

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

bool is_cuda_library(const std::string& name) {
  for (const char* prefix : {"libcu", "libnv", "libnpp", "libnccl"}) {
    if (starts_with(name, prefix) && !starts_with(name, "libcurl") && !starts_with(name, "libcups")) return true;
  }
  return false;
}

// The runtime is linked statically, nvcc's default, when a program with device code does not ask for the shared one.
void check_libraries(const ElfFile& program, bool has_device_code, ProgramCheck& check) {
  for (const std::string& name : program.needed()) {
    if (is_cuda_library(name)) check.cuda_libraries.push_back(name);
  }
  const auto needs = [&](const char* name) {
    return std::find(check.cuda_libraries.begin(), check.cuda_libraries.end(), name) != check.cuda_libraries.end();
  };
  const auto other =
      std::find_if(check.cuda_libraries.begin(), check.cuda_libraries.end(),
                   [](const std::string& name) { return starts_with(name, "libcudart.so") && name != kRuntime; });
  if (other != check.cuda_libraries.end()) {
    check.problems.push_back("it links " + *other + " of another CUDA version; the stand-in is " + kRuntime +
                             ": build with the nvcc of CUDA 13");
  } else if (has_device_code && !needs(kRuntime)) {
    check.problems.push_back("it holds its own copy of the CUDA runtime; link the shared one: nvcc -cudart shared");
  }
  for (const std::string& name : check.cuda_libraries) {
    if (name != kRuntime && name != kProducts && !starts_with(name, "libcudart.so")) {
      check.notes.push_back("it links " + name + ", which has no stand-in: calls into it need a real GPU");
    }
  }
}

// The section is a row of containers, one for each source file with device code, each aligned to 8 bytes.
void check_device_code(const ElfSection& section, ProgramCheck& check) {
  std::set<int> architectures;
  std::set<std::string> problems;
  auto rest = section.bytes;
  while (rest.size() >= 8) {
    const uint64_t bytes = fat_binary_bytes(rest);
    if (bytes == 0 || bytes > rest.size()) {
      rest = rest.subspan(8);
      continue;
    }
    const FatBinary binary = read_fat_binary(rest.first(bytes));
    for (const PtxImage& image : binary.ptx) architectures.insert(image.architecture);
    if (std::string problem = missing_ptx_problem(binary); !problem.empty()) problems.insert(std::move(problem));
    rest = rest.subspan(std::min<uint64_t>((bytes + 7) / 8 * 8, rest.size()));
  }
  check.ptx_architectures.assign(architectures.begin(), architectures.end());
  // Libraries that a program links statically may bring machine code that it never runs.
  auto& list = architectures.empty() ? check.problems : check.notes;
  list.insert(list.end(), problems.begin(), problems.end());
  if (architectures.empty() && problems.empty()) {
    check.problems.push_back(
        "its device code cannot be read; build with nvcc -gencode arch=compute_80,code=compute_80 -no-compress");
  }
}

void check_symbols(const ElfFile& program, const std::filesystem::path& standins, ProgramCheck& check) {
  std::set<std::string> defined;
  for (const char* library : {kRuntime, kProducts}) {
    for (const ElfSymbol& symbol : ElfFile(standins / library).dynamic_symbols()) {
      if (symbol.defined) defined.insert(symbol.name);
    }
  }
  std::string missing;
  for (const ElfSymbol& symbol : program.dynamic_symbols()) {
    const bool emulated_api =
        starts_with(symbol.name, "cuda") || starts_with(symbol.name, "__cuda") || starts_with(symbol.name, "cublasLt");
    if (!symbol.defined && emulated_api && !defined.contains(symbol.name)) {
      missing += (missing.empty() ? "" : ", ") + symbol.name;
    }
  }
  if (!missing.empty()) check.problems.push_back("it calls what the emulated device does not have: " + missing);
}

}  // namespace

ProgramCheck check_program(const std::filesystem::path& program, const std::filesystem::path& standins) {
  const ElfFile elf(program);
  ProgramCheck check;
  const ElfSection* device_code = elf.find_section(".nv_fatbin");
  const bool relocatable = elf.find_section("__nv_relfatbin") != nullptr;
  check_libraries(elf, device_code != nullptr || relocatable, check);
  if (relocatable) {
    check.problems.push_back(
        "it is built from relocatable device code, which is not emulated; build without -rdc=true (-dc)");
  } else if (device_code != nullptr) {
    check_device_code(*device_code, check);
  } else {
    check.notes.push_back("it holds no device code itself");
  }
  check_symbols(elf, standins, check);
  return check;
}

}  // namespace vigor::emulator
