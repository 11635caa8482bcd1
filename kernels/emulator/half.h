#pragma once
// 16-bit floating point for *_ops.cpp: f16 (5 exponent bits) and bf16 (8), converted in integer arithmetic so that the
// floating-point environment and the processor do not matter. NaN results are the device's one NaN.
#include "kernels/emulator/lanes.h"

namespace vigor::emulator::VIGOR_ISA {

struct F16 {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};
template <class T>
struct Pair {  // f16x2, bf16x2: the first in the low half
  T low, high;
};

VIGOR_INLINE uint32_t float_bits(float x) { return __builtin_bit_cast(uint32_t, x); }
VIGOR_INLINE float bits_float(uint32_t x) { return __builtin_bit_cast(float, x); }

VIGOR_INLINE float to_float(Bf16 x) { return bits_float(uint32_t{x.bits} << 16); }
VIGOR_INLINE float to_float(F16 x) {
  const uint32_t sign = (x.bits & 0x8000u) << 16;
  const uint32_t rest = x.bits & 0x7fffu;
  const float subnormal =
      static_cast<float>(static_cast<int32_t>(rest)) * 0x1p-24f;  // below 0x400: a multiple of 2^-24
  const uint32_t normal = (rest << 13) + (112u << 23);            // exponent bias 15 -> 127
  const uint32_t special = 0x7f800000u | rest << 13;              // infinity, NaN
  const uint32_t magnitude = rest < 0x400 ? float_bits(subnormal) : (rest < 0x7c00 ? normal : special);
  return bits_float(sign | magnitude);
}

enum class Rounding { nearest, zero, down, up };

// Added to a number before its low bits go, `dropped` ones; `last`: the lowest bit that stays.
template <Rounding kRounding>
VIGOR_INLINE uint32_t rounding_carry(uint32_t dropped, uint32_t last, bool negative) {
  const uint32_t all = (1u << dropped) - 1;
  if constexpr (kRounding == Rounding::nearest) return (all >> 1) + last;
  if constexpr (kRounding == Rounding::down) return negative ? all : 0;
  if constexpr (kRounding == Rounding::up) return negative ? 0 : all;
  return 0;
}

template <Rounding kRounding = Rounding::nearest>
VIGOR_INLINE Bf16 to_bf16(float x) {
  const uint32_t bits = float_bits(x);
  const uint32_t carry = rounding_carry<kRounding>(16, bits >> 16 & 1, bits >> 31);
  const bool special = (bits & 0x7f800000u) == 0x7f800000u, nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>(nan ? 0x7fffu : (bits + (special ? 0 : carry)) >> 16)};
}

template <Rounding kRounding = Rounding::nearest>
VIGOR_INLINE F16 to_f16(float x) {
  const uint32_t bits = float_bits(x);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t exponent = magnitude >> 23;
  // Normal results: 13 bits go, exponent bias 127 -> 15. Subnormal ones: the mantissa shifted to multiples of 2^-24.
  const bool small = exponent < 113;
  const uint32_t shift = small ? (126 - exponent < 31 ? 126 - exponent : 31) : 13;
  const uint32_t mantissa =
      small ? (magnitude & 0x7fffffu) | (exponent != 0 ? 0x800000u : 0u) : magnitude - (112u << 23);
  uint32_t result = (mantissa + rounding_carry<kRounding>(shift, mantissa >> shift & 1, sign != 0)) >> shift;
  // Past the end: infinity, or the largest number when rounding leads back to it.
  const bool inwards = kRounding == Rounding::zero || (kRounding == Rounding::down && sign == 0) ||
                       (kRounding == Rounding::up && sign != 0);
  if (magnitude >= 0x47800000u || result > 0x7c00u) result = inwards ? 0x7bffu : 0x7c00u;
  if (magnitude == 0x7f800000u) result = 0x7c00u;
  const bool nan = magnitude > 0x7f800000u;
  return {static_cast<uint16_t>(nan ? 0x7fffu : sign | result)};
}

template <class T, Rounding kRounding = Rounding::nearest>
VIGOR_INLINE T round_to(float x) {
  if constexpr (__is_same(T, F16)) {
    return to_f16<kRounding>(x);
  } else {
    return to_bf16<kRounding>(x);
  }
}

// a * b + c with one rounding. The product is exact in f64 and the sum is made odd where it is not exact, so that the
// second rounding sees on which side of a tie it was.
template <class T>
VIGOR_INLINE T fused(T a, T b, T c) {
  const double product = static_cast<double>(to_float(a)) * static_cast<double>(to_float(b));
  const double addend = static_cast<double>(to_float(c));
  const auto odd = [](double x, double y, double& error) {
    const double sum = x + y;
    const double part = sum - x;
    error = (x - (sum - part)) + (y - part);
    return sum;
  };
  double error;
  double sum = odd(product, addend, error);
  uint64_t bits = __builtin_bit_cast(uint64_t, sum);
  if (error == error && error != 0 && (bits & 1) == 0) {
    bits += (error > 0) == (sum > 0) ? 1 : -uint64_t{1};
    sum = __builtin_bit_cast(double, bits);
  }
  // To f32 rounding to odd as well.
  float narrow = static_cast<float>(sum);
  const double lost = sum - static_cast<double>(narrow);
  uint32_t word = float_bits(narrow);
  if (lost == lost && lost != 0 && (word & 1) == 0 && (word & 0x7f800000u) != 0x7f800000u) {
    word += (lost > 0) == (narrow > 0) ? 1 : -1u;
    if (narrow == 0) word = lost > 0 ? 1u : 0x80000001u;
    narrow = bits_float(word);
  }
  return round_to<T>(narrow);
}

}  // namespace vigor::emulator::VIGOR_ISA
