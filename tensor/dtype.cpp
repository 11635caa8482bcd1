#include "tensor/dtype.h"

#include <array>
#include <cmath>

namespace vigor {
namespace {

struct DtypeInfo {
  Dtype dtype;
  size_t nbytes;
  const char* name;
  const char* long_name;  // as PyTorch spells it
};

constexpr std::array<DtypeInfo, 7> kDtypes{{
    {Dtype::f32, 4, "f32", "float32"},
    {Dtype::f64, 8, "f64", "float64"},
    {Dtype::bf16, 2, "bf16", "bfloat16"},
    {Dtype::f16, 2, "f16", "float16"},
    {Dtype::i32, 4, "i32", "int32"},
    {Dtype::i64, 8, "i64", "int64"},
    {Dtype::u8, 1, "u8", "uint8"},
}};

const DtypeInfo& info(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)]; }

}  // namespace

size_t size_of(Dtype dtype) { return info(dtype).nbytes; }
const char* name_of(Dtype dtype) { return info(dtype).name; }

bool is_floating(Dtype dtype) {
  return dtype == Dtype::f32 || dtype == Dtype::f64 || dtype == Dtype::bf16 || dtype == Dtype::f16;
}

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const DtypeInfo& d : kDtypes)
    if (name == d.name || name == d.long_name) return d.dtype;
  return std::nullopt;
}

uint16_t f16::from_float(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000u);
  const uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);   // NaN
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65536 and above: infinity
  if (magnitude < 0x38800000u) {
    // Subnormal half: the value in units of 2^-24; nearbyint rounds to nearest even.
    const float units = std::nearbyint(std::bit_cast<float>(magnitude) * 16777216.0f);
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(units));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));  // a carry reaches infinity by itself
}

float f16::to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

}  // namespace vigor
