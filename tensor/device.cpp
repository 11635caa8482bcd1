#include "tensor/device.h"

#include "tensor/check.h"

namespace vigor {

std::string to_string(Device device) { return device.is_cpu() ? "cpu" : fmt::format("cuda:{}", device.index); }

void unsupported_device(const char* op, Device device) {
  fail("{}: there is no kernel for {} in this build; supported: cpu", op, to_string(device));
}

}  // namespace vigor
