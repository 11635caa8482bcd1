#pragma once
// A tensor in device memory whose values the host renews each step. On a CPU the host writes the tensor itself. For a
// GPU it writes pinned memory, in two buffers by turns, and the copy runs in stream order: neither side waits for the
// other unless the host is two steps ahead.
//
//   StagedTensor ids({B, T}, Dtype::i32, device);
//   loop: write to ids.host(); ids.send(); kernels read ids.on_device()
#include <memory>

#include "tensor/tensor.h"

namespace vigor {

class StagedTensor {
 public:
  StagedTensor(const Shape& sizes, Dtype dtype, Device device);
  ~StagedTensor();
  StagedTensor(StagedTensor&&) noexcept;
  StagedTensor& operator=(StagedTensor&&) noexcept;

  const Tensor& host();  // for the next values, all of them; may wait for the copy of the values before last
  void send();           // what was written becomes the values on the device
  const Tensor& on_device() const { return device_; }

 private:
  struct Pinned;  // of the CUDA half
  Tensor device_;
  std::unique_ptr<Pinned> pinned_;  // null on a CPU
};

}  // namespace vigor
