#pragma once
// Counted bytes on a device. Knows nothing of shapes. Views of one tensor share one Storage, and with it the version
// counter by which the graph notices that a tensor it saved was written.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "tensor/allocator.h"
#include "tensor/device.h"

namespace vigor {

class Storage {
 public:
  Storage(size_t nbytes, Device device);  // uninitialised, from the device's allocator
  // Somebody else's bytes, such as a mapped file; `owner` is kept until the last view is gone.
  Storage(void* data, size_t nbytes, Device device, std::shared_ptr<const void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  size_t nbytes() const { return nbytes_; }
  Device device() const { return device_; }
  uint32_t version() const { return version_; }
  void bump_version() { ++version_; }

 private:
  std::byte* data_;
  size_t nbytes_;
  Device device_;
  uint32_t version_ = 0;
  Allocator* allocator_ = nullptr;
  Allocator::Block* block_ = nullptr;
  std::shared_ptr<const void> owner_;
};

}  // namespace vigor
