#include "kernels/emulator/runtime/errors.h"

#include <cstdio>

namespace vigor::emulator {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local bool host_function_runs = false;
cudaError_t sticky = cudaSuccess;

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

}  // namespace vigor::emulator
