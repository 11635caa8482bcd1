#pragma once
// Kernel launches: the checks a GPU makes when one is issued, and the work that runs it later.
#include <vector_types.h>

#include <cstddef>

#include "kernels/emulator/runtime/modules.h"
#include "kernels/emulator/runtime/streams.h"

namespace vigor::emulator {

// Copies the arguments, so that the caller may change them. `arguments` points at one pointer for each parameter.
// Throws what a GPU refuses at once, with a line that says why:
//   cudaErrorInvalidConfiguration  a grid or block of zero or beyond the device's limits
//   cudaErrorInvalidValue          more shared memory than allowed (48 KB, or what cudaFuncSetAttribute allowed)
//   cudaErrorLaunchOutOfResources  more threads than the kernel's __launch_bounds__
//   cudaErrorInvalidPtx            an instruction the emulator does not have
Work prepare_launch(const Kernel& kernel, dim3 grid, dim3 block, void* const* arguments, size_t dynamic_shared);

// The largest dynamic shared memory that this kernel may be launched with now.
size_t dynamic_shared_limit(const Kernel& kernel);

}  // namespace vigor::emulator
