#include "tensor/storage.h"

namespace vigor {

Storage::Storage(size_t nbytes, Device device) : nbytes_(nbytes), device_(device) {
  allocator_ = &allocator_of(device);
  const Allocator::Allocation allocation = allocator_->allocate(nbytes);
  data_ = static_cast<std::byte*>(allocation.data);
  block_ = allocation.block;
}

Storage::Storage(void* data, size_t nbytes, Device device, std::shared_ptr<const void> owner)
    : data_(static_cast<std::byte*>(data)), nbytes_(nbytes), device_(device), owner_(std::move(owner)) {}

Storage::~Storage() {
  if (block_ != nullptr) allocator_->free(block_);
}

}  // namespace vigor
