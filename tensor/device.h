#pragma once
// Where a tensor's bytes live. A plain value; `emulated` devices are CUDA devices to the program (docs/emulator).
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

// True in builds that contain the CUDA half. Operations choose with
//   switch (x.device().kind) { case cpu: ...; case cuda: if constexpr (kCudaBuild) {...} else unsupported_device(...) }
#ifdef VIGOR_WITH_CUDA
inline constexpr bool kCudaBuild = true;
#else
inline constexpr bool kCudaBuild = false;
#endif

std::string to_string(Device device);  // "cpu", "cuda:0"
// Throws std::invalid_argument: "op: there is no kernel for cuda:0 in this build; supported: cpu".
[[noreturn]] void unsupported_device(const char* op, Device device);

}  // namespace vigor
