#include "tensor/staged_tensor.h"

#include "tensor/pinned_memory_cuda.h"

namespace vigor {

struct StagedTensor::Pinned {
  Tensor buffers[2];
  std::shared_ptr<CudaEvent>
      copied[2];  // null until the buffer was sent; shared: builds without CUDA name no destructor
  int next = 0;
};

StagedTensor::StagedTensor(const Shape& sizes, Dtype dtype, Device device) : device_(empty(sizes, dtype, device)) {
  if (device.is_cpu()) return;
  if constexpr (kCudaBuild) {
    pinned_ = std::make_unique<Pinned>();
    for (Tensor& buffer : pinned_->buffers) {
      std::shared_ptr<void> memory = pinned_memory(device_.nbytes());
      buffer = from_memory(memory.get(), sizes, dtype, memory);
    }
  }
}

StagedTensor::~StagedTensor() = default;
StagedTensor::StagedTensor(StagedTensor&&) noexcept = default;
StagedTensor& StagedTensor::operator=(StagedTensor&&) noexcept = default;

const Tensor& StagedTensor::host() {
  if (!pinned_) return device_;
  if constexpr (kCudaBuild)
    if (pinned_->copied[pinned_->next]) pinned_->copied[pinned_->next]->wait();
  return pinned_->buffers[pinned_->next];
}

void StagedTensor::send() {
  if (!pinned_) return;
  if constexpr (kCudaBuild) {
    upload_pinned(device_, pinned_->buffers[pinned_->next]);
    std::shared_ptr<CudaEvent>& event = pinned_->copied[pinned_->next];
    if (!event) event = std::make_shared<CudaEvent>();
    event->record();
  }
  pinned_->next ^= 1;
}

}  // namespace vigor
