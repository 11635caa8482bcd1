#include "tensor/device.h"

#include "tensor/check.h"
#include "tensor/device_cuda.h"

namespace vigor {

std::string to_string(Device device) { return device.is_cpu() ? "cpu" : fmt::format("cuda:{}", device.index); }

void unsupported_device(const char* op, Device device) {
  fail("{}: there is no kernel for {} in this build; supported: cpu", op, to_string(device));
}

std::string cuda_problem() {
  if constexpr (kCudaBuild) return problem_of_cuda();
  else return "this build has no CUDA half (the toolkit was not found when it was configured)";
}

std::string cuda_description() {
  if constexpr (kCudaBuild) return description_of_cuda();
  else return "none";
}

bool cuda_is_emulated() {
  if constexpr (kCudaBuild) return is_cuda_emulated();
  else return false;
}

void synchronize(Device device) {
  if (device.is_cpu()) return;
  if constexpr (kCudaBuild) synchronize_cuda();
  else unsupported_device("synchronize", device);
}

}  // namespace vigor
