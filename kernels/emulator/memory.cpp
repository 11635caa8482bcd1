#include "kernels/emulator/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

#include "kernels/emulator/fault.h"

namespace vigor::emulator {
namespace {

constexpr size_t kFreedRemembered = 4096;
constexpr uint64_t kPage = 4096;

uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

const char* kind_name(RangeKind kind) {
  switch (kind) {
    case RangeKind::device:
      return "allocation";
    case RangeKind::variable:
      return "__device__ variable";
    case RangeKind::constant:
      return "__constant__ variable";
    case RangeKind::managed:
      return "managed allocation";
    case RangeKind::pinned:
      return "pinned host allocation";
  }
  return "allocation";
}

std::string range_text(const MemoryRange& range) {
  return fmt::format("{}{}{} {:#x} ({} bytes)", kind_name(range.kind), range.label.empty() ? "" : " ", range.label,
                     range.begin, range.bytes());
}

}  // namespace

DeviceMemory::DeviceMemory(uint64_t capacity) : capacity_(capacity), window_bytes_(2 * capacity) {
  // Twice the capacity: freed addresses rest for a while before they are given out again, so that late accesses to
  // them are noticed.
  void* window = mmap(nullptr, window_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void* backing =
      mmap(nullptr, window_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (window == MAP_FAILED || backing == MAP_FAILED) {
    if (window != MAP_FAILED) munmap(window, window_bytes_);
    throw Fault(FaultKind::out_of_memory,
                fmt::format("emulated device: cannot reserve {} GiB of address space", 2 * window_bytes_ >> 30));
  }
  window_ = next_ = reinterpret_cast<uint64_t>(window);
  backing_ = static_cast<std::byte*>(backing);
}

DeviceMemory::~DeviceMemory() {
  munmap(reinterpret_cast<void*>(window_), window_bytes_);
  munmap(backing_, window_bytes_);
}

// The first gap at or after next_ that holds `bytes` and a red zone; 0 when there is none up to the window's end.
uint64_t DeviceMemory::place(uint64_t bytes) const {
  uint64_t at = next_;
  auto after = live_.lower_bound(at);
  if (after != live_.begin()) {
    const MemoryRange& before = std::prev(after)->second;
    if (in_window(before.begin)) at = std::max(at, round_up(before.end, kAlignment) + kAlignment);
  }
  while (true) {
    while (after != live_.end() && after->first < at) ++after;
    const uint64_t limit = after != live_.end() && in_window(after->first) ? after->first : window_ + window_bytes_;
    if (at <= limit && bytes + kAlignment <= limit - at) return at;
    if (limit == window_ + window_bytes_) return 0;
    at = round_up(after->second.end, kAlignment) + kAlignment;
  }
}

uint64_t DeviceMemory::allocate(uint64_t bytes, RangeKind kind, std::string label) {
  const std::unique_lock lock(mutex_);
  if (bytes > capacity_ || in_use_ > capacity_ - bytes) {
    throw Fault(FaultKind::out_of_memory,
                fmt::format("emulated device: {} bytes wanted; {} of {} are in use", bytes, in_use_, capacity_));
  }
  uint64_t at = place(bytes);
  if (at == 0) {
    next_ = window_;
    at = place(bytes);
  }
  if (at == 0) {
    throw Fault(FaultKind::out_of_memory, fmt::format("emulated device: no {} bytes in one piece; {} of {} are in use",
                                                      bytes, in_use_, capacity_));
  }
  MemoryRange range{at,   at + bytes, backing_ - reinterpret_cast<std::byte*>(window_),
                    kind, ++serial_,  std::move(label)};
  next_ = round_up(range.end, kAlignment) + kAlignment;
  in_use_ += bytes;
  ++epoch_;
  live_.emplace(at, std::move(range));
  return at;
}

void DeviceMemory::free(uint64_t address) {
  const std::unique_lock lock(mutex_);
  const auto found = live_.find(address);
  if (found == live_.end() || !in_window(address)) {
    throw Fault(FaultKind::invalid_value,
                fmt::format("emulated device: free of {:#x}, which is not the begin of an allocation", address));
  }
  MemoryRange& range = found->second;
  // Whole pages go back to the system; the neighbours' bytes on the first and last page stay.
  const uint64_t first = round_up(range.begin, kPage), last = range.end / kPage * kPage;
  if (first < last) madvise(range.host(first), last - first, MADV_DONTNEED);
  in_use_ -= range.bytes();
  ++epoch_;
  if (freed_.size() == kFreedRemembered) freed_.erase(freed_.begin(), freed_.begin() + kFreedRemembered / 2);
  freed_.push_back(std::move(range));
  live_.erase(found);
}

void DeviceMemory::add_host_range(void* begin, uint64_t bytes, RangeKind kind) {
  const std::unique_lock lock(mutex_);
  const uint64_t address = reinterpret_cast<uint64_t>(begin);
  const auto after = live_.lower_bound(address);
  const bool overlaps = (after != live_.end() && after->first < address + bytes) ||
                        (after != live_.begin() && std::prev(after)->second.end > address);
  if (overlaps) {
    throw Fault(FaultKind::invalid_value,
                fmt::format("emulated device: host memory {:#x} ({} bytes) is registered already", address, bytes));
  }
  live_.emplace(address, MemoryRange{address, address + bytes, 0, kind, ++serial_, {}});
  ++epoch_;
}

void DeviceMemory::remove_host_range(void* begin) {
  const std::unique_lock lock(mutex_);
  const auto found = live_.find(reinterpret_cast<uint64_t>(begin));
  if (found == live_.end() || in_window(found->first)) {
    throw Fault(FaultKind::invalid_value,
                fmt::format("emulated device: host memory {} is not registered", fmt::ptr(begin)));
  }
  live_.erase(found);
  ++epoch_;
}

std::optional<MemoryRange> DeviceMemory::find(uint64_t address, uint64_t bytes) const {
  const std::shared_lock lock(mutex_);
  auto after = live_.upper_bound(address);
  if (after == live_.begin()) return std::nullopt;
  const MemoryRange& range = std::prev(after)->second;
  if (!range.contains(address, bytes)) return std::nullopt;
  return range;
}

std::byte* DeviceMemory::translate(uint64_t address, uint64_t bytes, const char* what) const {
  if (const auto range = find(address, bytes)) return range->host(address);
  throw Fault(FaultKind::illegal_address, fmt::format("{}: {} bytes at {:#x} are not one allocation's: it is {}", what,
                                                      bytes, address, describe(address)));
}

std::string DeviceMemory::describe(uint64_t address) const {
  const std::shared_lock lock(mutex_);
  if (address == 0) return "a null pointer";
  auto after = live_.upper_bound(address);
  const MemoryRange* below = after == live_.begin() ? nullptr : &std::prev(after)->second;
  const MemoryRange* above = after == live_.end() ? nullptr : &after->second;
  if (below && address < below->end) {
    return fmt::format("{} bytes into the {}", address - below->begin, range_text(*below));
  }
  for (auto freed = freed_.rbegin(); freed != freed_.rend(); ++freed) {
    if (freed->contains(address, 1)) {
      return fmt::format("{} bytes into the {} that was freed", address - freed->begin, range_text(*freed));
    }
  }
  constexpr uint64_t kNear = uint64_t{1} << 32;
  const uint64_t past = below ? address - below->end : kNear;
  const uint64_t before = above ? above->begin - address : kNear;
  if (past <= before && past < kNear) {
    return fmt::format("{} bytes after the end of the {}", past, range_text(*below));
  }
  if (before < kNear) return fmt::format("{} bytes before the {}", before, range_text(*above));
  return in_window(address) ? "not allocated" : "not a device address (a host pointer?)";
}

uint64_t DeviceMemory::bytes_in_use() const {
  const std::shared_lock lock(mutex_);
  return in_use_;
}

std::vector<MemoryRange> DeviceMemory::ranges() const {
  const std::shared_lock lock(mutex_);
  std::vector<MemoryRange> all;
  all.reserve(live_.size());
  for (const auto& [begin, range] : live_) all.push_back(range);
  return all;
}

uint64_t DeviceMemory::epoch() const {
  const std::shared_lock lock(mutex_);
  return epoch_;
}

}  // namespace vigor::emulator
