#pragma once
// Brain float: the upper 16 bits of an f32, rounded to nearest even. In a header of its own, without the standard
// library and always inlined, because *_simd.cpp files include it (see the rules in tensor/simd.h).
#include <stdint.h>

namespace vigor {

struct bf16 {
  uint16_t bits = 0;
  bf16() = default;
  [[gnu::always_inline]] explicit bf16(float value) {
    const uint32_t u = __builtin_bit_cast(uint32_t, value);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<uint16_t>((u >> 16) | 0x40u);  // keep a NaN a NaN when its payload is cut off
    } else {
      bits = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
  }
  [[gnu::always_inline]] explicit operator float() const {
    return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
  }
};

}  // namespace vigor
