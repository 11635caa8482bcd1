#include "kernels/emulator/runtime/errors.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/emulator/runtime/streams.h"

namespace vigor::emulator {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local bool host_function_runs = false;
cudaError_t sticky = cudaSuccess;

cudaError_t code_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::invalid_configuration:
      return cudaErrorInvalidConfiguration;
    case FaultKind::invalid_value:
      return cudaErrorInvalidValue;
    case FaultKind::out_of_resources:
      return cudaErrorLaunchOutOfResources;
    case FaultKind::out_of_memory:
      return cudaErrorMemoryAllocation;
    case FaultKind::invalid_ptx:
      return cudaErrorInvalidPtx;
    case FaultKind::unknown_symbol:
      return cudaErrorInvalidDeviceFunction;
    case FaultKind::illegal_address:
      return cudaErrorIllegalAddress;
    case FaultKind::misaligned_address:
      return cudaErrorMisalignedAddress;
    case FaultKind::illegal_instruction:
      return cudaErrorIllegalInstruction;
    case FaultKind::launch_failure:
      return cudaErrorLaunchFailure;
    case FaultKind::device_assert:
      return cudaErrorAssert;
  }
  return cudaErrorUnknown;
}

}  // namespace

cudaError_t remember(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}

cudaError_t take_last_error() {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  const cudaError_t code = sticky != cudaSuccess ? sticky : last_error;
  last_error = cudaSuccess;
  return code;
}

cudaError_t peek_last_error() {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  return sticky != cudaSuccess ? sticky : last_error;
}

void clear_last_error() { last_error = cudaSuccess; }

cudaError_t sticky_error() { return sticky; }

void set_sticky_error(cudaError_t code) { sticky = code; }

std::recursive_mutex& runtime_lock() {
  // Never destroyed: destructors of the program's own globals may still call CUDA.
  static auto* lock = new std::recursive_mutex;
  return *lock;
}

bool& in_host_function() { return host_function_runs; }

void print_line(const std::string& line) {
  std::fflush(stdout);
  std::fprintf(stderr, "vigor emulator: %s\n", line.c_str());
}

cudaError_t report(const CudaFailure& failure) {
  if (!failure.explanation.empty()) print_line(failure.explanation);
  return failure.code;
}

cudaError_t report(const Fault& fault) {
  print_line(fault.what());
  if (!is_sticky(fault.kind())) return code_of(fault.kind());
  const char* on_error = std::getenv("VIGOR_EMULATOR_ON_ERROR");
  if (on_error != nullptr && std::strcmp(on_error, "abort") == 0) std::abort();
  stream_table().drop_queued_work();
  sticky = code_of(fault.kind());
  return sticky;
}

}  // namespace vigor::emulator
