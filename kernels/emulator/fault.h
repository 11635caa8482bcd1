#pragma once
// What goes wrong on the emulated device: a category that the runtime maps to a CUDA error, and a report for people.
#include <cstdint>
#include <stdexcept>
#include <string>

namespace vigor::emulator {

enum class FaultKind {
  // Refused before anything ran (not sticky on a GPU).
  invalid_configuration,  // cudaErrorInvalidConfiguration: grid, block or shared memory out of limits
  invalid_value,          // cudaErrorInvalidValue: wrong arguments
  out_of_resources,       // cudaErrorLaunchOutOfResources: more threads than the kernel's launch bounds
  out_of_memory,          // cudaErrorMemoryAllocation
  invalid_ptx,            // cudaErrorInvalidPtx: the program's text, or an instruction this emulator does not have
  unknown_symbol,         // cudaErrorInvalidDeviceFunction / cudaErrorSymbolNotFound
  // Found while a kernel ran (sticky).
  illegal_address,      // cudaErrorIllegalAddress: out of bounds, freed, never allocated
  misaligned_address,   // cudaErrorMisalignedAddress
  illegal_instruction,  // cudaErrorIllegalInstruction
  launch_failure,       // cudaErrorLaunchFailure: barrier deadlock, races, trap and everything else
  device_assert,        // cudaErrorAssert
};

// True for faults that a GPU answers with a sticky error: the kernel had started.
constexpr bool is_sticky(FaultKind kind) { return kind >= FaultKind::illegal_address; }

// Thrown by launch(), Module and DeviceMemory. what() is the whole report: one line for refused calls, a block of
// lines (kind, kernel, source line, block, thread, address and its allocation, the other party) for running kernels.
class Fault : public std::runtime_error {
 public:
  Fault(FaultKind kind, const std::string& report) : std::runtime_error(report), kind_(kind) {}
  FaultKind kind() const { return kind_; }

 private:
  FaultKind kind_;
};

}  // namespace vigor::emulator
