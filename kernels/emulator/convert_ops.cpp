// cvt: conversions between types.
#include "kernels/emulator/half.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

template <class T>
struct Limits {  // of an integer type
  static constexpr bool kSigned = T(-1) < T(0);
  static constexpr T kMax = static_cast<T>(kSigned ? ~u64{0} >> (65 - 8 * sizeof(T)) : ~u64{0} >> (64 - 8 * sizeof(T)));
  static constexpr T kMin = kSigned ? static_cast<T>(-kMax - 1) : T{0};
};

// --- Integers ---

template <class D>
constexpr auto kCast = [](auto a) { return static_cast<D>(a); };
template <class D>
constexpr auto kCastSat = [](auto a) {
  const __int128 wide = a;
  if (wide > __int128{Limits<D>::kMax}) return Limits<D>::kMax;
  if (wide < __int128{Limits<D>::kMin}) return Limits<D>::kMin;
  return static_cast<D>(a);
};

// --- Floating point to integer: rounded, then the nearest integer of the type; NaN is 0 ---

VIGOR_INLINE double widened(F16 x) { return static_cast<double>(to_float(x)); }
VIGOR_INLINE double widened(Bf16 x) { return static_cast<double>(to_float(x)); }
VIGOR_INLINE double widened(float x) { return static_cast<double>(x); }
VIGOR_INLINE double widened(double x) { return x; }

constexpr auto kNearest = [](double x) { return __builtin_roundeven(x); };
constexpr auto kZero = [](double x) { return __builtin_trunc(x); };
constexpr auto kDown = [](double x) { return __builtin_floor(x); };
constexpr auto kUp = [](double x) { return __builtin_ceil(x); };

template <class D, auto round>
constexpr auto kToInteger = [](auto a) {
  const double x = round(widened(a));
  constexpr double kEnd = 2.0 * static_cast<double>(u64{1} << (8 * sizeof(D) - 1 - Limits<D>::kSigned));
  if (!(x < kEnd)) return x != x ? D{0} : Limits<D>::kMax;
  if (x < (Limits<D>::kSigned ? -kEnd : 0.0)) return Limits<D>::kMin;
  return static_cast<D>(x);
};

// --- To floating point; .rn .rz .rm .rp come from the environment ---

constexpr auto kToFloat = [](auto a) { return static_cast<float>(a); };
constexpr auto kToDouble = [](auto a) { return static_cast<double>(a); };
constexpr auto kToFloatSat = [](auto a) {
  const float x = static_cast<float>(a);
  return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f;
};
template <auto round>
constexpr auto kRoundFloat = [](float a) { return static_cast<float>(round(static_cast<double>(a))); };
template <auto round>
constexpr auto kRoundDouble = [](double a) { return round(a); };

// --- 16 bits ---

constexpr auto kFromHalf = [](auto a) { return to_float(a); };
constexpr auto kFromHalfDouble = [](auto a) { return static_cast<double>(to_float(a)); };
template <class T, Rounding kRounding>
constexpr auto kToHalf = [](float a) { return round_to<T, kRounding>(a); };
// Through f32, made odd so that the second rounding is right.
VIGOR_INLINE float odd_float(double a) {
  float x = static_cast<float>(a);
  const double lost = a - static_cast<double>(x);
  u32 bits = float_bits(x);
  if (lost != 0 && lost == lost && (bits & 1) == 0 && (bits & 0x7f800000u) != 0x7f800000u && x != 0) {
    bits += (lost > 0) == (x > 0) ? 1 : -1u;
    x = bits_float(bits);
  }
  return x;
}
template <class T>
constexpr auto kDoubleToHalf = [](double a) { return round_to<T>(odd_float(a)); };
template <class T, Rounding kRounding>
constexpr auto kIntegerToHalf = [](auto a) { return round_to<T, kRounding>(odd_float(static_cast<double>(a))); };
constexpr auto kReluBits = [](auto x) {
  const bool nan = to_float(x) != to_float(x);
  return decltype(x){static_cast<u16>(!nan && (x.bits & 0x8000u) ? 0 : x.bits)};
};
template <class T>
constexpr auto kToHalfRelu = [](float a) { return kReluBits(round_to<T>(a)); };
template <class T>
constexpr auto kToHalfSat = [](float a) { return round_to<T>(kToFloatSat(a)); };
// cvt.rn.bf16x2.f32 d, a, b: a becomes the upper half.
template <class T, Rounding kRounding>
constexpr auto kToPair = [](float a, float b) {
  return Pair<T>{round_to<T, kRounding>(b), round_to<T, kRounding>(a)};
};
template <class T>
constexpr auto kToPairRelu = [](float a, float b) {
  return Pair<T>{kReluBits(round_to<T>(b)), kReluBits(round_to<T>(a))};
};
template <class T, auto round>
constexpr auto kRoundHalf = [](T a) { return round_to<T>(static_cast<float>(round(widened(a)))); };

// tf32: 10 mantissa bits, ties away from zero.
constexpr auto kToTf32 = [](float a) {
  const u32 bits = float_bits(a);
  if ((bits & 0x7f800000u) == 0x7f800000u) return a;
  return bits_float((bits + 0x1000u) & ~0x1fffu);
};

#define VIGOR_FROM_INTEGER(name, type)                                                                            \
  op<kCast<u8>, u8, type>("cvt.u8." name), op<kCast<s8>, s8, type>("cvt.s8." name),                               \
      op<kCast<u16>, u16, type>("cvt.u16." name), op<kCast<s16>, s16, type>("cvt.s16." name),                     \
      op<kCast<u32>, u32, type>("cvt.u32." name), op<kCast<s32>, s32, type>("cvt.s32." name),                     \
      op<kCast<u64>, u64, type>("cvt.u64." name), op<kCast<s64>, s64, type>("cvt.s64." name),                     \
      op<kCastSat<u8>, u8, type>("cvt.sat.u8." name), op<kCastSat<s8>, s8, type>("cvt.sat.s8." name),             \
      op<kCastSat<u16>, u16, type>("cvt.sat.u16." name), op<kCastSat<s16>, s16, type>("cvt.sat.s16." name),       \
      op<kCastSat<u32>, u32, type>("cvt.sat.u32." name), op<kCastSat<s32>, s32, type>("cvt.sat.s32." name),       \
      op<kCastSat<u64>, u64, type>("cvt.sat.u64." name), op<kCastSat<s64>, s64, type>("cvt.sat.s64." name),       \
      op<kToFloat, float, type>("cvt.f32." name, kRounds), op<kToDouble, double, type>("cvt.f64." name, kRounds), \
      op<kIntegerToHalf<F16, Rounding::nearest>, F16, type>("cvt.rn.f16." name),                                  \
      op<kIntegerToHalf<F16, Rounding::zero>, F16, type>("cvt.rz.f16." name),                                     \
      op<kIntegerToHalf<F16, Rounding::down>, F16, type>("cvt.rm.f16." name),                                     \
      op<kIntegerToHalf<F16, Rounding::up>, F16, type>("cvt.rp.f16." name),                                       \
      op<kIntegerToHalf<Bf16, Rounding::nearest>, Bf16, type>("cvt.rn.bf16." name)

#define VIGOR_TO_INTEGER_ROUNDED(rounding, function, name, type)                        \
  op<kToInteger<u8, function>, u8, type>("cvt." rounding ".u8." name, kFlushes),        \
      op<kToInteger<s8, function>, s8, type>("cvt." rounding ".s8." name, kFlushes),    \
      op<kToInteger<u16, function>, u16, type>("cvt." rounding ".u16." name, kFlushes), \
      op<kToInteger<s16, function>, s16, type>("cvt." rounding ".s16." name, kFlushes), \
      op<kToInteger<u32, function>, u32, type>("cvt." rounding ".u32." name, kFlushes), \
      op<kToInteger<s32, function>, s32, type>("cvt." rounding ".s32." name, kFlushes), \
      op<kToInteger<u64, function>, u64, type>("cvt." rounding ".u64." name, kFlushes), \
      op<kToInteger<s64, function>, s64, type>("cvt." rounding ".s64." name, kFlushes)
#define VIGOR_TO_INTEGER(name, type)                                                                         \
  VIGOR_TO_INTEGER_ROUNDED("rni", kNearest, name, type), VIGOR_TO_INTEGER_ROUNDED("rzi", kZero, name, type), \
      VIGOR_TO_INTEGER_ROUNDED("rmi", kDown, name, type), VIGOR_TO_INTEGER_ROUNDED("rpi", kUp, name, type)

// name.name: to an integer of the same type.
#define VIGOR_ROUND(name, type, function)                         \
  op<function<kNearest>, type, type>("cvt.rni." name, kFlushes),  \
      op<function<kZero>, type, type>("cvt.rzi." name, kFlushes), \
      op<function<kDown>, type, type>("cvt.rmi." name, kFlushes), \
      op<function<kUp>, type, type>("cvt.rpi." name, kFlushes)
#define VIGOR_ROUND_HALF(name, type)                                      \
  op<kRoundHalf<type, kNearest>, type, type>("cvt.rni." name, kFlushes),  \
      op<kRoundHalf<type, kZero>, type, type>("cvt.rzi." name, kFlushes), \
      op<kRoundHalf<type, kDown>, type, type>("cvt.rmi." name, kFlushes), \
      op<kRoundHalf<type, kUp>, type, type>("cvt.rpi." name, kFlushes)

// Rows with the rounding mode in their name round in integer arithmetic, whatever the environment.
#define VIGOR_HALF(name, type)                                                                               \
  op<kFromHalf, float, type>("cvt.f32." name, kFlushes), op<kFromHalfDouble, double, type>("cvt.f64." name), \
      op<kToHalf<type, Rounding::nearest>, type, float>("cvt.rn." name ".f32", kFlushes),                    \
      op<kToHalf<type, Rounding::zero>, type, float>("cvt.rz." name ".f32", kFlushes),                       \
      op<kToHalf<type, Rounding::down>, type, float>("cvt.rm." name ".f32", kFlushes),                       \
      op<kToHalf<type, Rounding::up>, type, float>("cvt.rp." name ".f32", kFlushes),                         \
      op<kToHalfRelu<type>, type, float>("cvt.rn.relu." name ".f32"),                                        \
      op<kToHalfSat<type>, type, float>("cvt.rn.sat." name ".f32", kFlushes),                                \
      op<kDoubleToHalf<type>, type, double>("cvt.rn." name ".f64"),                                          \
      op<kToPair<type, Rounding::nearest>, Pair<type>, float, float>("cvt.rn." name "x2.f32"),               \
      op<kToPair<type, Rounding::zero>, Pair<type>, float, float>("cvt.rz." name "x2.f32"),                  \
      op<kToPairRelu<type>, Pair<type>, float, float>("cvt.rn.relu." name "x2.f32")

constexpr OpRow kRows[] = {
    VIGOR_FROM_INTEGER("u8", u8),
    VIGOR_FROM_INTEGER("s8", s8),
    VIGOR_FROM_INTEGER("u16", u16),
    VIGOR_FROM_INTEGER("s16", s16),
    VIGOR_FROM_INTEGER("u32", u32),
    VIGOR_FROM_INTEGER("s32", s32),
    VIGOR_FROM_INTEGER("u64", u64),
    VIGOR_FROM_INTEGER("s64", s64),
    VIGOR_TO_INTEGER("f16", F16),
    VIGOR_TO_INTEGER("bf16", Bf16),
    VIGOR_TO_INTEGER("f32", float),
    VIGOR_TO_INTEGER("f64", double),
    VIGOR_ROUND("f32.f32", float, kRoundFloat),
    VIGOR_ROUND("f64.f64", double, kRoundDouble),
    VIGOR_ROUND_HALF("f16.f16", F16),
    VIGOR_ROUND_HALF("bf16.bf16", Bf16),
    VIGOR_HALF("f16", F16),
    VIGOR_HALF("bf16", Bf16),
    op<kToFloat, float, float>("cvt.f32.f32", kFlushes),
    op<kToDouble, double, float>("cvt.f64.f32", kFlushes),
    op<kToFloat, float, double>("cvt.f32.f64", kRounds),
    op<kToDouble, double, double>("cvt.f64.f64"),
    op<kToFloatSat, float, float>("cvt.sat.f32.f32", kFlushes),
    op<kToFloatSat, float, double>("cvt.sat.f32.f64", kRounds),
    op<kToTf32, float, float>("cvt.rna.tf32.f32"),
};

}  // namespace

RowTable convert_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
