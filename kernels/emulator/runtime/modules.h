#pragma once
// The program's device code: what the constructors that nvcc generates register before main() starts.
//
// Nothing is parsed then. A source file's PTX is read when one of its kernels or variables is first used, so a program
// with much device code starts at once. Called under runtime_lock().
#include <driver_types.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/emulator/module.h"

namespace vigor::emulator {

// A source file's device code.
struct Binary {
  const void* container = nullptr;
  std::unique_ptr<Module> module;  // null until first used
  std::string problem;             // why there is none
  bool problem_told = false;
};

// What a cudaFunction_t, a cudaKernel_t and the address of a __global__ function stand for.
struct Kernel {
  Binary* binary;
  std::string name;                               // mangled
  std::optional<size_t> max_dynamic_shared = {};  // cudaFuncAttributeMaxDynamicSharedMemorySize, if set
};

struct Variable {
  Binary* binary;
  std::string name;  // mangled
};

Binary* register_binary(const void* wrapper);
void unregister_binary(Binary* binary);
void register_kernel(Binary* binary, const void* host_function, const char* name);
void register_variable(const void* host_variable, Variable variable);

// The kernel behind the address of a __global__ function, a cudaKernel_t or a cudaFunction_t. Throws
// cudaErrorInvalidDeviceFunction if it is none of them.
Kernel& find_kernel(const void* function);
const Module& module_of(const Kernel& kernel);  // throws cudaErrorNoKernelImageForDevice, explained
// Complete, since it translates the kernel: an instruction that the emulator does not have is Fault invalid_ptx. Throws
// cudaErrorInvalidDeviceFunction for a kernel that the PTX does not have.
const KernelInfo& info_of(const Kernel& kernel);

// Address and size of a __device__ or __constant__ variable, given its host shadow. Throws cudaErrorInvalidSymbol.
ModuleVariable find_variable(const void* host_variable);

void reload_modules();  // cudaDeviceReset: variables take their initial values again at the next use

}  // namespace vigor::emulator
