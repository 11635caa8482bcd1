#pragma once
// How the runtime stand-in reports errors.
//
// As with the real library there are two kinds. Most belong to the call: it returns the code, and cudaGetLastError
// gives it once more and forgets it. A fault inside a kernel is different: it is *sticky*, every later call returns it,
// since nothing that is in device memory can be trusted any more. cudaDeviceReset, which drops all of that, ends it.
#include <driver_types.h>

#include <mutex>
#include <new>
#include <string>

#include "kernels/emulator/fault.h"

namespace vigor::emulator {

const char* error_name(cudaError_t code);  // "cudaErrorInvalidValue"; "unrecognized error code" for any other number
const char* error_text(cudaError_t code);  // "invalid argument"

// Thrown inside the stand-in; the entry point returns `code`. `explanation`, when there is one, is printed on stderr:
// the bare code of a refused launch or copy rarely says what was wrong.
struct CudaFailure {
  cudaError_t code;
  std::string explanation = {};
};

// Throws CudaFailure unless `rule` holds.
inline void require(bool rule, cudaError_t code) {
  if (!rule) throw CudaFailure{code};
}

cudaError_t remember(cudaError_t code);  // makes `code` this thread's last error unless it is cudaSuccess; returns it
cudaError_t take_last_error();           // cudaGetLastError
cudaError_t peek_last_error();           // cudaPeekAtLastError
void clear_last_error();

cudaError_t sticky_error();  // cudaSuccess, or what every call now returns
void set_sticky_error(cudaError_t code);

// Everything of the stand-in is guarded by this one lock. It is recursive because a product of the cuBLASLt stand-in
// runs inside a synchronising call and asks back for addresses.
std::recursive_mutex& runtime_lock();

// True while a host function of a stream runs on this thread: it must not call CUDA (cudaErrorNotPermitted).
bool& in_host_function();

// "vigor emulator: " + line on stderr.
void print_line(const std::string& line);

// What an entry point does with a failure: report it on stderr, return its code. A fault of a running kernel becomes
// sticky and drops all queued work; with VIGOR_EMULATOR_ON_ERROR=abort it ends the process instead.
cudaError_t report(const CudaFailure& failure);
cudaError_t report(const Fault& fault);

// The body of an entry point: takes the lock, returns a sticky error instead of running, turns CudaFailure into its
// code, and keeps the code for cudaGetLastError.
template <typename Body>
cudaError_t entry(Body&& body) {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  if (in_host_function()) return cudaErrorNotPermitted;
  if (sticky_error() != cudaSuccess) return remember(sticky_error());
  try {
    body();
  } catch (const CudaFailure& failure) {
    return remember(report(failure));
  } catch (const Fault& fault) {
    return remember(report(fault));
  } catch (const std::bad_alloc&) {
    return remember(cudaErrorMemoryAllocation);
  }
  return cudaSuccess;
}

}  // namespace vigor::emulator
