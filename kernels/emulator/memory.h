#pragma once
// The device's memory.
//
// One inaccessible reservation of address space is the device's address window; the bytes behind it live at a constant
// distance from it, so that host code which dereferences a device pointer crashes as it would with a GPU. Pinned and
// managed memory is host memory that the device may touch too: its addresses are the host's.
// Thread safe.
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

namespace vigor::emulator {

enum class RangeKind {
  device,    // cudaMalloc
  variable,  // a __device__ variable
  constant,  // a __constant__ variable: kernels may not write it
  managed,   // cudaMallocManaged: host address
  pinned,    // cudaMallocHost, cudaHostAlloc, cudaHostRegister: host address
};

// One allocation: device addresses [begin, end).
struct MemoryRange {
  uint64_t begin = 0, end = 0;
  std::ptrdiff_t to_host = 0;  // host pointer = address + to_host
  RangeKind kind = RangeKind::device;
  uint64_t serial = 0;  // counts allocations: the same address later is another allocation
  std::string label;    // a variable's name, or empty

  uint64_t bytes() const { return end - begin; }
  bool contains(uint64_t address, uint64_t count) const {
    return address >= begin && address <= end && count <= end - address;
  }
  std::byte* host(uint64_t address) const {
    return reinterpret_cast<std::byte*>(address + static_cast<uint64_t>(to_host));
  }
};

class DeviceMemory {
 public:
  static constexpr uint64_t kAlignment = 256;  // of every allocation, and the least unallocated zone after it

  // `capacity` bytes may be allocated at a time; twice that much address space is reserved, nothing is touched.
  explicit DeviceMemory(uint64_t capacity = uint64_t{16} << 30);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // A new allocation's device address. The bytes are unspecified. Zero bytes are allowed and get a unique address.
  // Fault out_of_memory when it does not fit.
  uint64_t allocate(uint64_t bytes, RangeKind kind = RangeKind::device, std::string label = {});
  // Fault invalid_value unless `address` is the begin of an allocation made here.
  void free(uint64_t address);

  // Host memory that the device may touch from now on, owned by the caller. Fault invalid_value on overlap.
  void add_host_range(void* begin, uint64_t bytes, RangeKind kind);
  void remove_host_range(void* begin);

  // The allocation that holds all of [address, address + bytes), or nothing.
  std::optional<MemoryRange> find(uint64_t address, uint64_t bytes = 1) const;
  // Host pointer to [address, address + bytes). Fault illegal_address, naming `what`, unless one allocation holds it.
  std::byte* translate(uint64_t address, uint64_t bytes, const char* what) const;
  // Is this an address of the device window (allocated or not)?
  bool in_window(uint64_t address) const { return address >= window_ && address < window_ + window_bytes_; }

  // One phrase for a report: "12 bytes after the end of the allocation 0x... (400 bytes)", "in an allocation of ...
  // that was freed", "not near any allocation".
  std::string describe(uint64_t address) const;

  uint64_t capacity() const { return capacity_; }
  uint64_t bytes_in_use() const;
  std::vector<MemoryRange> ranges() const;  // all live ones, by address
  // Grows with every change of the set of ranges: what was looked up under another epoch must be looked up again.
  uint64_t epoch() const;

 private:
  uint64_t place(uint64_t bytes) const;

  mutable std::shared_mutex mutex_;
  std::map<uint64_t, MemoryRange> live_;  // by begin
  std::vector<MemoryRange> freed_;        // the latest few, for reports
  uint64_t capacity_, window_bytes_, window_ = 0, in_use_ = 0, next_ = 0, serial_ = 0, epoch_ = 0;
  std::byte* backing_ = nullptr;
};

}  // namespace vigor::emulator
