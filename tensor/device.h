#pragma once
// Where a tensor's bytes live. A plain value; `emulated` devices are CUDA devices to the program (docs/emulator.md).
#include <cstdint>
#include <string>

namespace vigor {

enum class DeviceKind : uint8_t { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int16_t index = 0;
  bool operator==(const Device&) const = default;
  bool is_cpu() const { return kind == DeviceKind::cpu; }
};

inline constexpr Device kCpu{};
inline constexpr Device kCuda{DeviceKind::cuda, 0};  // the one GPU; CUDA_VISIBLE_DEVICES says which

// True in builds that contain the CUDA half. A function that is named only where this is false needs no definition, so
// operations choose with
//   switch (x.device().kind) {
//     case DeviceKind::cpu: scale_cpu(y, x); break;
//     case DeviceKind::cuda: if constexpr (kCudaBuild) scale_cuda(y, x); else unsupported_device("scale", x.device());
//   }
#ifdef VIGOR_WITH_CUDA
inline constexpr bool kCudaBuild = true;
#else
inline constexpr bool kCudaBuild = false;
#endif

std::string to_string(Device device);  // "cpu", "cuda:0"
// Throws std::invalid_argument: "op: there is no kernel for cuda:0 in this build; supported: cpu".
[[noreturn]] void unsupported_device(const char* op, Device device);

// Why kCuda cannot be used: no CUDA half in this build, no driver, no GPU, or one that is too old. Empty when it can.
std::string cuda_problem();
// The GPU's name, compute capability and memory, in one line. Only when cuda_problem() is empty.
std::string cuda_description();
// True when kCuda is the emulated device (kernels/emulator).
bool cuda_is_emulated();

// Waits until all work given to the device is done; its late errors surface here as std::runtime_error.
void synchronize(Device device);

}  // namespace vigor
