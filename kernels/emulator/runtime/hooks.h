#pragma once
// What the stand-in of the CUDA runtime offers to other stand-ins and to programs that know it: plain C functions,
// found with dlsym or by linking it.
#include <driver_types.h>

#include <cstddef>

extern "C" {

// --- for library stand-ins ---

// Runs `run(context)` when its turn comes in the stream; in a capturing stream it becomes a node of the graph and runs
// at every replay. `destroy(context)` is called once, when it can run no more. On an error `destroy` was called
// already.
cudaError_t vigor_emulator_host_task(cudaStream_t stream, void (*run)(void*), void (*destroy)(void*), void* context);

// Host pointers to the bytes behind device memory, for use inside a task. The checker takes note of the read or write.
// What is wrong with the range ends the task: they throw, through the task, to the call that runs it.
const void* vigor_emulator_read(const void* address, size_t bytes, const char* what);
void* vigor_emulator_write(void* address, size_t bytes, const char* what);
// Is [address, address + bytes) in one allocation that the device may touch?
int vigor_emulator_is_device_range(const void* address, size_t bytes);

// --- for programs ---

// For allocators that keep freed memory: when its turn comes in the stream, the device may no longer touch these bytes
// (poison), or may again and finds them uninitialised (unpoison). Not recorded by a capture, during which poison does
// nothing. Nothing happens where no checker watches.
void vigor_emulator_poison(cudaStream_t stream, const void* address, size_t bytes);
void vigor_emulator_unpoison(cudaStream_t stream, const void* address, size_t bytes);
}
