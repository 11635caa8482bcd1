#pragma once
// The floating-point environment of an instruction: rounding mode and flushing of subnormal f32 numbers to zero.
#include <cstdint>

namespace vigor::emulator {

enum class RoundingMode : uint8_t { nearest, zero, down, up };

// 0: nearest, subnormals kept: what the host computes with.
constexpr uint32_t environment_of(RoundingMode rounding, bool flush) {
  return static_cast<uint32_t>(rounding) | (flush ? 4u : 0u);
}

// False where the host cannot flush to zero.
bool has_environment(uint32_t environment);

}  // namespace vigor::emulator
