#include "kernels/emulator/runtime/modules.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "kernels/emulator/fatbinary.h"
#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"

namespace vigor::emulator {
namespace {

// As in CUDA's fatbinary_section.h: what nvcc's constructors pass.
struct FatBinaryWrapper {
  int magic;
  int version;
  const std::byte* container;
  const void* prelinked;
};
constexpr int kWrapperMagic = 0x466243B1;

struct Registry {
  std::vector<std::unique_ptr<Binary>> binaries;
  std::map<const void*, std::unique_ptr<Kernel>> kernels;  // by address of the __global__ function
  std::map<const void*, Kernel*> handles;                  // by their own address: cudaKernel_t, cudaFunction_t
  std::map<const void*, Variable> variables;               // by address of the host shadow
};

Registry& registry() {
  static auto* all = new Registry;  // never destroyed, as runtime_lock()
  return *all;
}

std::span<const std::byte> container_bytes(const void* container) {
  const auto* begin = static_cast<const std::byte*>(container);
  constexpr size_t kHeader = 16;
  return {begin, fat_binary_bytes({begin, kHeader})};
}

const Module& module_of(Binary& binary) {
  if (!binary.module && binary.problem.empty()) {
    const FatBinary contents = read_fat_binary(container_bytes(binary.container));
    if (const PtxImage* ptx = contents.best_ptx()) {
      MemoryChecker* checker = device_checker();
      binary.module = std::make_unique<Module>(std::string(ptx->text), std::string(ptx->source), device_memory());
      for (const ModuleVariable& variable : binary.module->variables()) {
        if (!checker) break;
        checker->allocated(*device_memory().find(variable.address, 0));
        checker->host_wrote(variable.address, variable.bytes);  // without an initial value it is zero
      }
    } else {
      binary.problem = "the program cannot run on the emulated device: " + missing_ptx_problem(contents);
    }
  }
  if (!binary.problem.empty()) {
    const bool first = !std::exchange(binary.problem_told, true);
    throw CudaFailure{cudaErrorNoKernelImageForDevice, first ? binary.problem : std::string()};
  }
  return *binary.module;
}

void unload(Binary& binary) {
  if (!binary.module) return;
  for (const ModuleVariable& variable : binary.module->variables()) {
    if (MemoryChecker* checker = device_checker()) checker->freed(*device_memory().find(variable.address, 0));
  }
  binary.module.reset();
}

}  // namespace

Binary* register_binary(const void* wrapper) {
  FatBinaryWrapper contents;
  std::memcpy(&contents, wrapper, sizeof contents);
  auto binary = std::make_unique<Binary>();
  if (contents.magic == kWrapperMagic) binary->container = contents.container;
  if (binary->container == nullptr) binary->problem = "the program's device code has an unknown form";
  registry().binaries.push_back(std::move(binary));
  return registry().binaries.back().get();
}

void unregister_binary(Binary* binary) {
  Registry& all = registry();
  std::erase_if(all.handles, [&](const auto& entry) { return entry.second->binary == binary; });
  std::erase_if(all.kernels, [&](const auto& entry) { return entry.second->binary == binary; });
  std::erase_if(all.variables, [&](const auto& entry) { return entry.second.binary == binary; });
  std::erase_if(all.binaries, [&](const auto& entry) {
    if (entry.get() == binary) unload(*entry);
    return entry.get() == binary;
  });
}

void register_kernel(Binary* binary, const void* host_function, const char* name) {
  auto kernel = std::make_unique<Kernel>(Kernel{binary, name});
  registry().handles[kernel.get()] = kernel.get();
  registry().kernels[host_function] = std::move(kernel);
}

void register_variable(const void* host_variable, Variable variable) {
  registry().variables[host_variable] = std::move(variable);
}

Kernel& find_kernel(const void* function) {
  const Registry& all = registry();
  if (const auto handle = all.handles.find(function); handle != all.handles.end()) return *handle->second;
  const auto found = all.kernels.find(function);
  require(found != all.kernels.end(), cudaErrorInvalidDeviceFunction);
  return *found->second;
}

const Module& module_of(const Kernel& kernel) { return module_of(*kernel.binary); }

const KernelInfo& info_of(const Kernel& kernel) {
  const KernelInfo* info = module_of(kernel).find_kernel(kernel.name);
  require(info != nullptr, cudaErrorInvalidDeviceFunction);
  module_of(kernel).code(kernel.name);
  return *info;
}

ModuleVariable find_variable(const void* host_variable) {
  const auto found = registry().variables.find(host_variable);
  require(found != registry().variables.end(), cudaErrorInvalidSymbol);
  const ModuleVariable* variable = module_of(*found->second.binary).find_variable(found->second.name);
  require(variable != nullptr, cudaErrorInvalidSymbol);
  return *variable;
}

void reload_modules() {
  for (const auto& binary : registry().binaries) unload(*binary);
}

}  // namespace vigor::emulator
