#pragma once
// Element types. f32, f64 and bf16 are computed with; f16 is storage and conversion only; integers are indices,
// bytes and masks.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "tensor/bf16.h"
#include "tensor/check.h"

namespace vigor {

enum class Dtype : uint8_t { f32, f64, bf16, f16, i32, i64, u8 };

// IEEE half precision, rounded to nearest even.
struct f16 {
  uint16_t bits = 0;
  f16() = default;
  explicit f16(float value) : bits(from_float(value)) {}
  explicit operator float() const { return to_float(bits); }
  static uint16_t from_float(float value);
  static float to_float(uint16_t bits);
};

size_t size_of(Dtype dtype);                                  // bytes of one element
const char* name_of(Dtype dtype);                             // "f32", "bf16", ...
bool is_floating(Dtype dtype);                                // f32, f64, bf16, f16
std::optional<Dtype> dtype_from_name(std::string_view name);  // accepts our names and "float32", "bfloat16", ...

template <class T>
struct DtypeOf;
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::f32;
};
template <>
struct DtypeOf<double> {
  static constexpr Dtype value = Dtype::f64;
};
template <>
struct DtypeOf<bf16> {
  static constexpr Dtype value = Dtype::bf16;
};
template <>
struct DtypeOf<f16> {
  static constexpr Dtype value = Dtype::f16;
};
template <>
struct DtypeOf<int32_t> {
  static constexpr Dtype value = Dtype::i32;
};
template <>
struct DtypeOf<int64_t> {
  static constexpr Dtype value = Dtype::i64;
};
template <>
struct DtypeOf<uint8_t> {
  static constexpr Dtype value = Dtype::u8;
};
template <class T>
inline constexpr Dtype dtype_of = DtypeOf<T>::value;

// The type that sums and transcendental functions of T are computed in: at least f32.
template <class T>
using Accumulator = std::conditional_t<std::is_same_v<T, bf16> || std::is_same_v<T, f16>, float, T>;

// Calls f.template operator()<T>() with the C++ type of `dtype`:
//   visit_float(x.dtype(), "gelu", [&]<class T>() { gelu_forward_naive<T>(...); });
// visit_float takes f32, f64 and bf16; visit_any all seven. `op` names the caller in the error.
template <class F>
decltype(auto) visit_float(Dtype dtype, const char* op, F&& f) {
  switch (dtype) {
    case Dtype::f32:
      return f.template operator()<float>();
    case Dtype::f64:
      return f.template operator()<double>();
    case Dtype::bf16:
      return f.template operator()<bf16>();
    default:
      fail("{}: dtype must be f32, f64 or bf16; got {}", op, name_of(dtype));
  }
}

template <class F>
decltype(auto) visit_any(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::f32:
      return f.template operator()<float>();
    case Dtype::f64:
      return f.template operator()<double>();
    case Dtype::bf16:
      return f.template operator()<bf16>();
    case Dtype::f16:
      return f.template operator()<f16>();
    case Dtype::i32:
      return f.template operator()<int32_t>();
    case Dtype::i64:
      return f.template operator()<int64_t>();
    case Dtype::u8:
      break;
  }
  return f.template operator()<uint8_t>();
}

}  // namespace vigor
