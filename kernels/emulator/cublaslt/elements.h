#pragma once
// The element types of the products: f64, f32, bf16 and f16, read as T and stored from T (float, or double for f64).
#include <library_types.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vigor::emulator {

// Bytes of an element; 0 for a type that has no products here.
constexpr size_t element_bytes(cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      return 8;
    case CUDA_R_32F:
      return 4;
    case CUDA_R_16BF:
    case CUDA_R_16F:
      return 2;
    default:
      return 0;
  }
}

inline float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Round to nearest, ties to even; NaN stays NaN.
inline uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

inline float f16_to_float(uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }
inline uint16_t float_to_f16(float value) { return std::bit_cast<uint16_t>(static_cast<_Float16>(value)); }

template <typename T>
T load(cudaDataType type, const std::byte* at) {
  if (type == CUDA_R_16BF || type == CUDA_R_16F) {
    uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return static_cast<T>(type == CUDA_R_16BF ? bf16_to_float(bits) : f16_to_float(bits));
  }
  if (type == CUDA_R_32F) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return static_cast<T>(value);
  }
  double value;
  std::memcpy(&value, at, sizeof value);
  return static_cast<T>(value);
}

template <typename T>
void store(cudaDataType type, std::byte* at, T value) {
  if (type == CUDA_R_16BF || type == CUDA_R_16F) {
    const auto narrow = static_cast<float>(value);
    const uint16_t bits = type == CUDA_R_16BF ? float_to_bf16(narrow) : float_to_f16(narrow);
    std::memcpy(at, &bits, sizeof bits);
  } else if (type == CUDA_R_32F) {
    const auto narrow = static_cast<float>(value);
    std::memcpy(at, &narrow, sizeof narrow);
  } else {
    const auto wide = static_cast<double>(value);
    std::memcpy(at, &wide, sizeof wide);
  }
}

}  // namespace vigor::emulator
