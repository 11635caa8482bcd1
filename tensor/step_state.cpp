#include "tensor/step_state.h"

#include <new>

#include "tensor/primitives.h"

namespace vigor {

StepStateMemory::StepStateMemory(Device device)
    : host_(empty({static_cast<int64_t>(sizeof(StepState))}, Dtype::u8)),
      device_(device.is_cpu() ? host_ : empty(host_.shape(), Dtype::u8, device)) {
  new (host_.raw()) StepState();
  upload();
}

void StepStateMemory::upload() {
  if (!device_.device().is_cpu()) copy(device_, host_);
}

void StepStateMemory::download() {
  if (!device_.device().is_cpu()) copy(host_, device_);
}

}  // namespace vigor
