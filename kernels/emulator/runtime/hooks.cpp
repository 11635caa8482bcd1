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

void vigor_emulator_poison(cudaStream_t stream, const void* address, size_t bytes) {
  entry([&] {
    Stream& target = stream_table().stream(stream);
    if (device_checker() == nullptr || target.capture) return;
    const auto begin = reinterpret_cast<uint64_t>(address);
    stream_table().issue_uncaptured(target, [begin, bytes] { process_checker().poison(begin, bytes); });
  });
}

void vigor_emulator_unpoison(cudaStream_t stream, const void* address, size_t bytes) {
  entry([&] {
    if (device_checker() == nullptr) return;
    const auto begin = reinterpret_cast<uint64_t>(address);
    stream_table().issue_uncaptured(stream_table().stream(stream),
                                    [begin, bytes] { process_checker().unpoison(begin, bytes); });
  });
}

}  // extern "C"
