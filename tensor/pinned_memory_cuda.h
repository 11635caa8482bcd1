#pragma once
// Host memory that a GPU reads while the program goes on; for StagedTensor and StepStateMemory. Of the CUDA half, and
// declared without its headers.
#include <cstddef>
#include <memory>

#include "tensor/view.h"

namespace vigor {

std::shared_ptr<void> pinned_memory(size_t nbytes);
// y = x in stream order, without waiting: x is pinned, both contiguous and of one dtype.
void upload_pinned(const TensorView& y, const TensorView& x);

// A mark in the stream.
class CudaEvent {
 public:
  CudaEvent();
  ~CudaEvent();
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  void record();
  void wait();  // until the device has reached the mark

 private:
  void* event_ = nullptr;
};

}  // namespace vigor
