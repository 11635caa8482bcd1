#pragma once
// The one emulated device: its memory, the checker that watches it, and the profile that programs see.
// Called under runtime_lock().
#include <driver_types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/emulator/checker.h"
#include "kernels/emulator/launch.h"
#include "kernels/emulator/memory.h"

namespace vigor::emulator {

DeviceMemory& device_memory();
// What watches the memory, told of every allocation and host access; null while VIGOR_EMULATOR_CHECK has never been
// full. When it becomes full again after launches that were not watched, all memory counts as written.
MemoryChecker* device_checker();
LaunchOptions launch_options();  // from the environment, for a launch that begins now

void* allocate_device(size_t bytes);
void free_device(void* address);  // throws cudaErrorInvalidValue unless allocate_device gave it

// Host memory that the device may touch: pinned or managed. `owned` memory is freed by free_host.
void* allocate_host(size_t bytes, RangeKind kind);
void register_host(void* begin, size_t bytes);
void unregister_host(void* begin);
void free_host(void* begin, RangeKind kind);
bool is_allocated_host(const void* address, RangeKind kind);
void free_everything();  // cudaDeviceReset

// Where an address that a copy was given lives. Pinned and managed memory is on both sides.
struct Place {
  bool on_device = false, on_host = true;
};
Place place_of(const void* address);

// Host pointers to [address, address + bytes) for a copy or a product that the host carries out; the checker learns of
// it. Memory the device does not know is the program's own and is passed through. Throws CudaFailure with
// cudaErrorInvalidValue, explained, where the range leaves its allocation.
const std::byte* readable(const void* address, size_t bytes, const char* what);
std::byte* writable(void* address, size_t bytes, const char* what);

// Copies between any two of device and host memory.
void copy_bytes(void* to, const void* from, size_t bytes);

// Throws what readable() would, without telling the checker.
void require_range(const void* address, size_t bytes, const char* what);

// --- what programs see of the device ---
// A block's largest shared memory after opting in: VIGOR_EMULATOR_SHARED_KB=99 (default, as compute capability 8.6, 8.9
// and 12.0), 163 (8.0) or 227 (9.0, 10.0).
size_t shared_memory_optin();
constexpr size_t kSharedMemoryDefault = 48 << 10;  // without opting in
constexpr size_t kSharedMemoryReserved = 1 << 10;  // of each block, by the system
cudaDeviceProp device_properties();
int device_attribute(cudaDeviceAttr attribute);  // throws cudaErrorInvalidValue for an unknown one
// Blocks of this kind that fit a multiprocessor together; `shared` is static and dynamic. Registers are not counted:
// PTX does not say how many a kernel will take.
int blocks_per_multiprocessor(int block_threads, size_t shared_bytes);

}  // namespace vigor::emulator
