#include "kernels/emulator/runtime/hooks.h"

#include "kernels/emulator/runtime/device.h"
#include "kernels/emulator/runtime/errors.h"
#include "kernels/emulator/runtime/streams.h"

using namespace vigor::emulator;

extern "C" {

cudaError_t vigor_emulator_host_task(cudaStream_t stream, void (*run)(void*), void (*destroy)(void*), void* context) {
  return entry([&] {
    const std::shared_ptr<void> owned(context, destroy);
    stream_table().issue(stream_table().stream(stream), cudaGraphNodeTypeKernel, [run, owned] { run(owned.get()); });
  });
}

const void* vigor_emulator_read(const void* address, size_t bytes, const char* what) {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  return readable(address, bytes, what);
}

void* vigor_emulator_write(void* address, size_t bytes, const char* what) {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  return writable(address, bytes, what);
}

int vigor_emulator_is_device_range(const void* address, size_t bytes) {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  return device_memory().find(reinterpret_cast<uint64_t>(address), bytes) ? 1 : 0;
}

void vigor_emulator_poison(const void* address, size_t bytes) {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  if (MemoryChecker* checker = device_checker()) checker->poison(reinterpret_cast<uint64_t>(address), bytes);
}

void vigor_emulator_unpoison(const void* address, size_t bytes) {
  const std::lock_guard<std::recursive_mutex> guard(runtime_lock());
  if (MemoryChecker* checker = device_checker()) checker->unpoison(reinterpret_cast<uint64_t>(address), bytes);
}

}  // extern "C"
