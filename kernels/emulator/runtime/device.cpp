#include "kernels/emulator/runtime/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "kernels/emulator/fault.h"
#include "kernels/emulator/launch.h"
#include "kernels/emulator/runtime/errors.h"

namespace vigor::emulator {
namespace {

constexpr size_t kPage = 4096;

struct HostRange {
  size_t bytes;
  RangeKind kind;
  bool owned;  // allocated here, so freed here
};

// By first byte. Never destroyed, as runtime_lock().
std::map<std::byte*, HostRange>& host_ranges() {
  static auto* ranges = new std::map<std::byte*, HostRange>;
  return *ranges;
}

uint64_t number(const void* address) { return reinterpret_cast<uint64_t>(address); }

struct CheckerState {
  bool told = false;   // the checker knows the ranges
  bool stale = false;  // launches ran that it did not see
};
CheckerState checker_state;

bool checks_fully() { return LaunchOptions::from_environment().check == CheckLevel::full; }

void tell_checker_all() {
  for (const MemoryRange& range : device_memory().ranges()) {
    if (!checker_state.told) process_checker().allocated(range);
    process_checker().host_wrote(range.begin, range.bytes());
  }
  checker_state = {true, false};
}

void add_host_range(std::byte* begin, size_t bytes, RangeKind kind, bool owned) {
  MemoryChecker* checker = device_checker();
  device_memory().add_host_range(begin, bytes, kind);
  host_ranges()[begin] = {bytes, kind, owned};
  if (checker) checker->allocated(*device_memory().find(number(begin), 0));
}

void forget_host_range(std::map<std::byte*, HostRange>::iterator range) {
  if (MemoryChecker* checker = device_checker()) {
    if (const auto found = device_memory().find(number(range->first))) checker->freed(*found);
  }
  device_memory().remove_host_range(range->first);
  if (range->second.owned) std::free(range->first);
  host_ranges().erase(range);
}

}  // namespace

DeviceMemory& device_memory() {
  static auto* memory = new DeviceMemory;
  return *memory;
}

MemoryChecker* device_checker() {
  if (checks_fully() && (!checker_state.told || checker_state.stale)) tell_checker_all();
  return checker_state.told ? &process_checker() : nullptr;
}

LaunchOptions launch_options() {
  LaunchOptions options = LaunchOptions::from_environment();
  if (options.check == CheckLevel::full) {
    device_checker();
  } else {
    checker_state.stale = true;
  }
  attach_process_checker(options);
  return options;
}

void* allocate_device(size_t bytes) {
  MemoryChecker* checker = device_checker();
  const uint64_t address = device_memory().allocate(bytes);
  if (checker) checker->allocated(*device_memory().find(address, 0));
  return reinterpret_cast<void*>(address);
}

void free_device(void* address) {
  const auto range = device_memory().find(number(address), 0);
  if (!range || range->begin != number(address) || range->kind != RangeKind::device) {
    throw CudaFailure{cudaErrorInvalidValue, fmt::format("cudaFree refused: {} is not what cudaMalloc gave: it is {}",
                                                         address, device_memory().describe(number(address)))};
  }
  if (MemoryChecker* checker = device_checker()) checker->freed(*range);
  device_memory().free(number(address));
}

void* allocate_host(size_t bytes, RangeKind kind) {
  const size_t rounded = (std::max<size_t>(bytes, 1) + kPage - 1) / kPage * kPage;
  auto* begin = static_cast<std::byte*>(std::aligned_alloc(kPage, rounded));
  require(begin != nullptr, cudaErrorMemoryAllocation);
  add_host_range(begin, std::max<size_t>(bytes, 1), kind, true);
  return begin;
}

void register_host(void* begin, size_t bytes) {
  require(begin != nullptr && bytes > 0, cudaErrorInvalidValue);
  require(!device_memory().in_window(number(begin)), cudaErrorInvalidValue);
  require(!device_memory().find(number(begin)), cudaErrorHostMemoryAlreadyRegistered);
  add_host_range(static_cast<std::byte*>(begin), bytes, RangeKind::pinned, false);
}

void unregister_host(void* begin) {
  const auto range = host_ranges().find(static_cast<std::byte*>(begin));
  require(range != host_ranges().end() && !range->second.owned, cudaErrorHostMemoryNotRegistered);
  forget_host_range(range);
}

void free_host(void* begin, RangeKind kind) {
  const auto range = host_ranges().find(static_cast<std::byte*>(begin));
  require(range != host_ranges().end() && range->second.owned && range->second.kind == kind, cudaErrorInvalidValue);
  forget_host_range(range);
}

bool is_allocated_host(const void* address, RangeKind kind) {
  const auto range = device_memory().find(number(address), 0);
  return range && range->kind == kind;
}

void free_everything() {
  while (!host_ranges().empty()) forget_host_range(host_ranges().begin());
  for (const MemoryRange& range : device_memory().ranges()) {
    if (range.kind == RangeKind::device) free_device(reinterpret_cast<void*>(range.begin));
  }
}

Place place_of(const void* address) {
  if (device_memory().in_window(number(address))) return {true, false};
  return {device_memory().find(number(address)).has_value(), true};
}

void require_range(const void* address, size_t bytes, const char* what) {
  if (!place_of(address).on_device || device_memory().find(number(address), bytes)) return;
  throw CudaFailure{cudaErrorInvalidValue, std::string(what) + ": " + std::to_string(bytes) + " bytes do not fit: " +
                                               device_memory().describe(number(address) + bytes - 1)};
}

const std::byte* readable(const void* address, size_t bytes, const char* what) {
  if (bytes == 0 || !place_of(address).on_device) return static_cast<const std::byte*>(address);
  require_range(address, bytes, what);
  if (MemoryChecker* checker = device_checker(); checker && checks_fully()) checker->host_read(number(address), bytes);
  return device_memory().translate(number(address), bytes, what);
}

std::byte* writable(void* address, size_t bytes, const char* what) {
  if (bytes == 0 || !place_of(address).on_device) return static_cast<std::byte*>(address);
  require_range(address, bytes, what);
  if (MemoryChecker* checker = device_checker()) checker->host_wrote(number(address), bytes);
  return device_memory().translate(number(address), bytes, what);
}

void copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  MemoryChecker* checker = device_checker();
  if (checker && checks_fully() && place_of(to).on_device && place_of(from).on_device) {
    // Bytes that nobody wrote may be copied; they stay unwritten.
    checker->copied(number(to), number(from), bytes);
    std::memmove(device_memory().translate(number(to), bytes, "cudaMemcpy"),
                 device_memory().translate(number(from), bytes, "cudaMemcpy"), bytes);
  } else {
    std::byte* target = writable(to, bytes, "cudaMemcpy");
    std::memmove(target, readable(from, bytes, "cudaMemcpy"), bytes);
  }
}

}  // namespace vigor::emulator
