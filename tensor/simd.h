#pragma once
// The one place with SIMD: vectors of floats whose width follows the instruction set, and the choice at run time.
//
// A file named <x>_simd.cpp is compiled once for every instruction set (x86: portable, avx2, avx512; ARM: portable,
// neon), each time into the namespace of that name, VIGOR_ISA. A launcher calls the best one this CPU has:
//
//   scale_kernels.h    #include "tensor/simd.h"
//                      namespace vigor { VIGOR_PER_ISA(void scale(float* x, float factor, int64_t n);) }
//   scale_simd.cpp     #include "scale_kernels.h"
//                      namespace vigor::VIGOR_ISA {
//                      void scale(float* x, float factor, int64_t n) {
//                        int64_t i = 0;
//                        for (; i + kLanes <= n; i += kLanes) store(x + i, load(x + i) * factor);
//                        store_partial(x + i, load_partial(x + i, n - i) * factor, n - i);  // the tail, n - i < kLanes
//                      }
//                      }
//   scale_cpu.cpp      VIGOR_PICK(scale)(x, 0.5f, n);
//
// Rules for *_simd.cpp and all they include. The linker keeps one copy of every inline function, whichever file it
// comes from. If that copy was compiled for AVX-512, an older CPU crashes in code that never asked for it. So:
//   - include only this header, C headers and kernel headers that keep the same rule; nothing of the C++ library;
//   - everything is in namespace VIGOR_ISA, and what is local to a file is static or in an unnamed namespace;
//   - pointers and sizes come in; nothing is allocated or thrown.
// scripts/check-simd-symbols tests this on the object files.
#include <stdint.h>

#include "tensor/bf16.h"

namespace vigor {

enum class Isa : uint8_t { portable, neon, avx2, avx512 };  // in order of preference on their architecture

Isa current_isa();           // best of this CPU; the environment variable VIGOR_SIMD=portable|avx2|... asks for less
bool is_supported(Isa isa);  // compiled in, and this CPU has it
const char* name_of(Isa isa);

// Makes current_isa() return `isa` until the end of the scope, for tests and benchmarks; process-wide, so not for
// use while other threads compute. Throws std::invalid_argument when the CPU does not support it.
class IsaScope {
 public:
  explicit IsaScope(Isa isa);
  ~IsaScope();
  IsaScope(const IsaScope&) = delete;
  IsaScope& operator=(const IsaScope&) = delete;

 private:
  Isa previous_;
};

// Declares functions in the namespace of every instruction set; used inside namespace vigor.
// VIGOR_PICK(f)(arguments) calls the f of current_isa(); arguments are passed by value.
#if defined(__x86_64__)
#define VIGOR_PER_ISA(...) \
  namespace portable {     \
  __VA_ARGS__              \
  }                        \
  namespace avx2 {         \
  __VA_ARGS__              \
  }                        \
  namespace avx512 {       \
  __VA_ARGS__              \
  }
#define VIGOR_PICK(...)                                      \
  [](auto... arguments) {                                    \
    switch (::vigor::current_isa()) {                        \
      case ::vigor::Isa::avx512:                             \
        return ::vigor::avx512::__VA_ARGS__(arguments...);   \
      case ::vigor::Isa::avx2:                               \
        return ::vigor::avx2::__VA_ARGS__(arguments...);     \
      default:                                               \
        return ::vigor::portable::__VA_ARGS__(arguments...); \
    }                                                        \
  }
#elif defined(__aarch64__)
#define VIGOR_PER_ISA(...) \
  namespace portable {     \
  __VA_ARGS__              \
  }                        \
  namespace neon {         \
  __VA_ARGS__              \
  }
#define VIGOR_PICK(...)                                      \
  [](auto... arguments) {                                    \
    switch (::vigor::current_isa()) {                        \
      case ::vigor::Isa::neon:                               \
        return ::vigor::neon::__VA_ARGS__(arguments...);     \
      default:                                               \
        return ::vigor::portable::__VA_ARGS__(arguments...); \
    }                                                        \
  }
#else
#define VIGOR_PER_ISA(...) \
  namespace portable {     \
  __VA_ARGS__              \
  }
#define VIGOR_PICK(...) [](auto... arguments) { return ::vigor::portable::__VA_ARGS__(arguments...); }
#endif

}  // namespace vigor

#if defined(VIGOR_ISA)  // set by the build for *_simd.cpp files only

#if defined(VIGOR_ISA_IS_avx512) || defined(VIGOR_ISA_IS_avx2)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define VIGOR_INLINE [[gnu::always_inline]] static inline

namespace vigor {
namespace VIGOR_ISA {

#if defined(VIGOR_ISA_IS_avx512)
constexpr int64_t kLanes = 16;  // floats in a vector
#elif defined(VIGOR_ISA_IS_avx2)
constexpr int64_t kLanes = 8;
#else
constexpr int64_t kLanes = 4;
#endif
constexpr int64_t kDoubleLanes = kLanes / 2;

// GCC/clang vector types: + - * / < == & | << work lane by lane, also with a scalar on one side. A comparison gives a
// vint with -1 for true and 0 for false.
typedef float vfloat __attribute__((vector_size(kLanes * 4)));
typedef int32_t vint __attribute__((vector_size(kLanes * 4)));
typedef uint32_t vuint __attribute__((vector_size(kLanes * 4)));
typedef uint16_t vhalf __attribute__((vector_size(kLanes * 2)));  // 16-bit storage, for conversions only
typedef double vdouble __attribute__((vector_size(kLanes * 4)));

// ---- load and store ---------------------------------------------------------------------------------------------
// Any alignment: on every CPU with AVX2 an unaligned load of aligned data costs nothing.

#if defined(VIGOR_ISA_IS_avx512)
VIGOR_INLINE vfloat broadcast(float value) { return _mm512_set1_ps(value); }
VIGOR_INLINE vdouble broadcast(double value) { return _mm512_set1_pd(value); }
#elif defined(VIGOR_ISA_IS_avx2)
VIGOR_INLINE vfloat broadcast(float value) { return _mm256_set1_ps(value); }
VIGOR_INLINE vdouble broadcast(double value) { return _mm256_set1_pd(value); }
#else
VIGOR_INLINE vfloat broadcast(float value) { return vfloat{value, value, value, value}; }
VIGOR_INLINE vdouble broadcast(double value) { return vdouble{value, value}; }
#endif
VIGOR_INLINE vfloat zero() { return vfloat{}; }

VIGOR_INLINE vfloat load(const float* p) {
  typedef float unaligned __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
  return *reinterpret_cast<const unaligned*>(p);
}
VIGOR_INLINE void store(float* p, vfloat v) {
  typedef float unaligned __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
  *reinterpret_cast<unaligned*>(p) = v;
}
VIGOR_INLINE vdouble load(const double* p) {
  typedef double unaligned __attribute__((vector_size(kLanes * 4), aligned(8), may_alias));
  return *reinterpret_cast<const unaligned*>(p);
}
VIGOR_INLINE void store(double* p, vdouble v) {
  typedef double unaligned __attribute__((vector_size(kLanes * 4), aligned(8), may_alias));
  *reinterpret_cast<unaligned*>(p) = v;
}
VIGOR_INLINE vint load(const int32_t* p) {
  typedef int32_t unaligned __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
  return *reinterpret_cast<const unaligned*>(p);
}
VIGOR_INLINE void store(int32_t* p, vint v) {
  typedef int32_t unaligned __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
  *reinterpret_cast<unaligned*>(p) = v;
}

// One instruction to widen and one to shift; __builtin_convertvector takes five with GCC 12. The mask of all lanes
// costs nothing and spares its warning about the plain intrinsic.
VIGOR_INLINE vfloat from_bf16(vhalf bits) {
#if defined(VIGOR_ISA_IS_avx512)
  const vuint wide = reinterpret_cast<vuint>(_mm512_maskz_cvtepu16_epi32(0xffff, reinterpret_cast<__m256i>(bits)));
#elif defined(VIGOR_ISA_IS_avx2)
  const vuint wide = reinterpret_cast<vuint>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(bits)));
#else
  const vuint wide = __builtin_convertvector(bits, vuint);
#endif
  return reinterpret_cast<vfloat>(wide << 16);
}
VIGOR_INLINE vhalf to_bf16(vfloat v) {  // to nearest even; NaN stays NaN
  const vuint u = reinterpret_cast<vuint>(v);
  const vuint rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const vuint nan = (u >> 16) | 0x40u;
  return __builtin_convertvector((v == v) ? rounded : nan, vhalf);
}
VIGOR_INLINE vfloat load(const bf16* p) {
  typedef uint16_t unaligned __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));
  return from_bf16(static_cast<vhalf>(*reinterpret_cast<const unaligned*>(p)));
}
VIGOR_INLINE void store(bf16* p, vfloat v) {
  typedef uint16_t unaligned __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));
  *reinterpret_cast<unaligned*>(p) = to_bf16(v);
}

// The first n elements, 0 <= n <= kLanes (kDoubleLanes for double); memory behind them is not touched, and loaded lanes
// from n on are 0.
#if defined(VIGOR_ISA_IS_avx512)
VIGOR_INLINE __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
VIGOR_INLINE vfloat load_partial(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
VIGOR_INLINE void store_partial(float* p, vfloat v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
VIGOR_INLINE vdouble load_partial(const double* p, int64_t n) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>(first_lanes(n)), p);
}
VIGOR_INLINE void store_partial(double* p, vdouble v, int64_t n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_lanes(n)), v);
}
VIGOR_INLINE vfloat load_partial(const bf16* p, int64_t n) {
  return from_bf16(reinterpret_cast<vhalf>(_mm256_maskz_loadu_epi16(first_lanes(n), p)));
}
VIGOR_INLINE void store_partial(bf16* p, vfloat v, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), reinterpret_cast<__m256i>(to_bf16(v)));
}
#else
#if defined(VIGOR_ISA_IS_avx2)
VIGOR_INLINE __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
VIGOR_INLINE vfloat load_partial(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
VIGOR_INLINE void store_partial(float* p, vfloat v, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
#else
VIGOR_INLINE vfloat load_partial(const float* p, int64_t n) {
  vfloat v{};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
VIGOR_INLINE void store_partial(float* p, vfloat v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}
#endif
VIGOR_INLINE vdouble load_partial(const double* p, int64_t n) {
  vdouble v{};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
VIGOR_INLINE void store_partial(double* p, vdouble v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}
VIGOR_INLINE vfloat load_partial(const bf16* p, int64_t n) {
  vhalf bits{};
  for (int64_t i = 0; i < n; ++i) bits[i] = p[i].bits;
  return from_bf16(bits);
}
VIGOR_INLINE void store_partial(bf16* p, vfloat v, int64_t n) {
  const vhalf bits = to_bf16(v);
  for (int64_t i = 0; i < n; ++i) p[i].bits = bits[i];
}
#endif

// Stores past the cache, for results larger than it that are not read soon. p is aligned to sizeof(vfloat); call
// stream_fence() once after the last one, before another thread reads.
#if defined(VIGOR_ISA_IS_avx512)
VIGOR_INLINE void stream(float* p, vfloat v) { _mm512_stream_ps(p, v); }
#elif defined(VIGOR_ISA_IS_avx2)
VIGOR_INLINE void stream(float* p, vfloat v) { _mm256_stream_ps(p, v); }
#elif defined(__SSE2__)
VIGOR_INLINE void stream(float* p, vfloat v) { _mm_stream_ps(p, v); }
#else
VIGOR_INLINE void stream(float* p, vfloat v) { store(p, v); }
#endif
#if defined(__SSE2__)
VIGOR_INLINE void stream_fence() { _mm_sfence(); }
#else
VIGOR_INLINE void stream_fence() {}
#endif

// ---- arithmetic ---------------------------------------------------------------------------------------------------

// a * b + c; rounded once, except in portable x86 code, which has no such instruction.
#if defined(VIGOR_ISA_IS_avx512)
VIGOR_INLINE vfloat fma(vfloat a, vfloat b, vfloat c) { return _mm512_fmadd_ps(a, b, c); }
VIGOR_INLINE vdouble fma(vdouble a, vdouble b, vdouble c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(VIGOR_ISA_IS_avx2)
VIGOR_INLINE vfloat fma(vfloat a, vfloat b, vfloat c) { return _mm256_fmadd_ps(a, b, c); }
VIGOR_INLINE vdouble fma(vdouble a, vdouble b, vdouble c) { return _mm256_fmadd_pd(a, b, c); }
#elif defined(__ARM_NEON)
VIGOR_INLINE vfloat fma(vfloat a, vfloat b, vfloat c) { return vfmaq_f32(c, a, b); }
VIGOR_INLINE vdouble fma(vdouble a, vdouble b, vdouble c) { return vfmaq_f64(c, a, b); }
#else
VIGOR_INLINE vfloat fma(vfloat a, vfloat b, vfloat c) { return a * b + c; }
VIGOR_INLINE vdouble fma(vdouble a, vdouble b, vdouble c) { return a * b + c; }
#endif
VIGOR_INLINE vfloat fma(vfloat a, float b, vfloat c) { return fma(a, broadcast(b), c); }
VIGOR_INLINE vfloat fma(vfloat a, vfloat b, float c) { return fma(a, b, broadcast(c)); }
VIGOR_INLINE vfloat fma(vfloat a, float b, float c) { return fma(a, broadcast(b), broadcast(c)); }

VIGOR_INLINE vfloat select(vint mask, vfloat if_true, vfloat if_false) { return mask ? if_true : if_false; }

// When either argument is NaN, the second is returned: max(limit, x) lets a NaN in x through.
VIGOR_INLINE vfloat min(vfloat a, vfloat b) { return a < b ? a : b; }
VIGOR_INLINE vfloat max(vfloat a, vfloat b) { return a > b ? a : b; }
VIGOR_INLINE vfloat abs(vfloat a) { return reinterpret_cast<vfloat>(reinterpret_cast<vuint>(a) & 0x7fffffffu); }
VIGOR_INLINE vfloat copysign(vfloat magnitude, vfloat sign) {
  return reinterpret_cast<vfloat>((reinterpret_cast<vuint>(magnitude) & 0x7fffffffu) |
                                  (reinterpret_cast<vuint>(sign) & 0x80000000u));
}
VIGOR_INLINE vfloat sqrt(vfloat a) {
  for (int64_t i = 0; i < kLanes; ++i) a[i] = __builtin_sqrtf(a[i]);  // compiles to one instruction
  return a;
}

// Lane i takes lane i + step, the last `step` lanes anything; step is kLanes / 2, kLanes / 4, ...
VIGOR_INLINE vfloat shifted_down(vfloat v, int64_t step) {
#if defined(VIGOR_ISA_IS_avx512)
  if (step == 8) return __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
  if (step == 4) return __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15);
  if (step == 2) return __builtin_shufflevector(v, v, 2, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11, 14, 15, 14, 15);
  return __builtin_shufflevector(v, v, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15);
#elif defined(VIGOR_ISA_IS_avx2)
  if (step == 4) return __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7);
  if (step == 2) return __builtin_shufflevector(v, v, 2, 3, 2, 3, 6, 7, 6, 7);
  return __builtin_shufflevector(v, v, 1, 1, 3, 3, 5, 5, 7, 7);
#else
  if (step == 2) return __builtin_shufflevector(v, v, 2, 3, 2, 3);
  return __builtin_shufflevector(v, v, 1, 1, 3, 3);
#endif
}

// Sum and maximum of the lanes, in a fixed order: halves, quarters, ...
VIGOR_INLINE float horizontal_sum(vfloat v) {
  for (int64_t step = kLanes / 2; step > 0; step /= 2) v += shifted_down(v, step);
  return v[0];
}
VIGOR_INLINE double horizontal_sum(vdouble v) {
  double lane[kDoubleLanes];
  store(lane, v);
  for (int64_t width = kDoubleLanes / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}
VIGOR_INLINE float horizontal_max(vfloat v) {
  for (int64_t step = kLanes / 2; step > 0; step /= 2) v = max(v, shifted_down(v, step));
  return v[0];
}

// The lower and upper half of the lanes in double precision, for long sums.
#if defined(VIGOR_ISA_IS_avx512)
VIGOR_INLINE vdouble widen_low(vfloat v) {
  return __builtin_convertvector(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), vdouble);
}
VIGOR_INLINE vdouble widen_high(vfloat v) {
  return __builtin_convertvector(__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15), vdouble);
}
#elif defined(VIGOR_ISA_IS_avx2)
VIGOR_INLINE vdouble widen_low(vfloat v) {
  return __builtin_convertvector(__builtin_shufflevector(v, v, 0, 1, 2, 3), vdouble);
}
VIGOR_INLINE vdouble widen_high(vfloat v) {
  return __builtin_convertvector(__builtin_shufflevector(v, v, 4, 5, 6, 7), vdouble);
}
#else
VIGOR_INLINE vdouble widen_low(vfloat v) {
  return __builtin_convertvector(__builtin_shufflevector(v, v, 0, 1), vdouble);
}
VIGOR_INLINE vdouble widen_high(vfloat v) {
  return __builtin_convertvector(__builtin_shufflevector(v, v, 2, 3), vdouble);
}
#endif

// ---- functions ----------------------------------------------------------------------------------------------------
// All are within 2 ulp of the true value for every float (tensor/simd_test.cpp measures it) and exact for infinities,
// NaN, overflow and underflow. Each polynomial is a minimax fit of relative error (Lawson's method in 40 digits).

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2; e^r = 1 + r + r^2 P(r), relative error 3e-9.
VIGOR_INLINE vfloat exp(vfloat x) {
  x = min(broadcast(89.0f), max(broadcast(-104.0f), x));  // beyond: infinity and 0 by the scaling below
  const float magic = 12582912.0f;                        // 1.5 * 2^23: adding it rounds to an integer
  const vfloat shifted = fma(x, 1.44269504f, magic);
  const vfloat n = shifted - magic;
  // ln 2 in two parts; the first has 9 bits, so n times it is exact.
  const vfloat r = fma(n, 2.12194440e-4f, fma(n, -0.693359375f, x));
  vfloat p = fma(r, 0.001381313181f, 0.008369420041f);
  p = fma(p, r, 0.04166845706f);
  p = fma(p, r, 0.1666651478f);
  p = fma(p, r, 0.4999999305f);
  p = fma(p, r * r, r) + 1.0f;
#if defined(VIGOR_ISA_IS_avx512)
  return _mm512_maskz_scalef_ps(0xffff, p, n);  // p * 2^n
#else
  // 2^n as a product of two powers, because n reaches -150 and 128 where 2^n itself is no normal float.
  const vint integer = reinterpret_cast<vint>(shifted) - __builtin_bit_cast(int32_t, magic);
  const vint half = integer >> 1;
  const vfloat scale_1 = reinterpret_cast<vfloat>((half + 127) << 23);
  const vfloat scale_2 = reinterpret_cast<vfloat>((integer - half + 127) << 23);
  return p * scale_1 * scale_2;
#endif
}

// x = 2^e m with sqrt(1/2) <= m < sqrt(2), f = m - 1: ln x = e ln 2 + f - f^2/2 + f^3 P(f), relative error 8e-10.
VIGOR_INLINE vfloat log(vfloat x) {
  const vint subnormal = x < 1.17549435e-38f;
  const vfloat normal = select(subnormal, x * 8388608.0f, x);  // 2^23
  const vint bits = reinterpret_cast<vint>(normal);
  // 0x3f3504f3 is sqrt(1/2). Subtracted without a sign, for -0 and below, whose results are replaced at the end.
  const vint exponent = reinterpret_cast<vint>(reinterpret_cast<vuint>(bits) - 0x3f3504f3u) >> 23;
  const vfloat m = reinterpret_cast<vfloat>(reinterpret_cast<vuint>(bits) - (reinterpret_cast<vuint>(exponent) << 23));
  const vfloat e = __builtin_convertvector(exponent, vfloat) - select(subnormal, broadcast(23.0f), zero());
  const vfloat f = m - 1.0f;
  vfloat p = fma(f, 0.06746443523f, -0.1167561447f);
  p = fma(p, f, 0.1188823233f);
  p = fma(p, f, -0.1240559874f);
  p = fma(p, f, 0.1421954344f);
  p = fma(p, f, -0.1666799507f);
  p = fma(p, f, 0.2000211913f);
  p = fma(p, f, -0.2500000962f);
  p = fma(p, f, 0.333333126f);
  const vfloat f2 = f * f;
  const vfloat low = fma(f2, -0.5f, fma(p, f2 * f, e * -2.12194440e-4f));
  vfloat y = fma(e, 0.693359375f, f + low);
  const vfloat infinity = broadcast(__builtin_inff());
  y = select(x == infinity, infinity, y);
  y = select(x == 0.0f, -infinity, y);
  return select(x >= 0.0f, y, broadcast(__builtin_nanf("")));  // negative or NaN
}

// ln(1 + x) without the rounding of 1 + x: with u = 1 + x as rounded, add back what was lost, (x - (u - 1)) / u.
VIGOR_INLINE vfloat log1p(vfloat x) {
  const vfloat u = x + 1.0f;
  const vfloat lost = select(abs(x) < 1.0f, x - (u - 1.0f), 1.0f - (u - x));
  const vfloat y = log(u) + lost / u;
  return select((u == 0.0f) | (u == __builtin_inff()), log(u), select(u == 1.0f, x, y));
}

// |x| < 0.625: x + x^3 P(x^2), relative error 5e-9. Above: 1 - 2 / (e^(2|x|) + 1) with the sign of x.
VIGOR_INLINE vfloat tanh(vfloat x) {
  const vfloat a = abs(x), z = x * x;
  vfloat p = fma(z, -0.005708741486f, 0.02064230344f);
  p = fma(p, z, -0.05374065301f);
  p = fma(p, z, 0.1333145281f);
  p = fma(p, z, -0.3333328231f);
  const vfloat small = fma(p * z, x, x);
  const vfloat large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return select(a < 0.625f, small, copysign(large, x));
}

// 1 / (1 + e^-x); for negative x as e^x / (1 + e^x), which keeps its relative accuracy down to the smallest float.
VIGOR_INLINE vfloat sigmoid(vfloat x) {
  const vfloat e = exp(-abs(x));
  return select(x < 0.0f, e, broadcast(1.0f)) / (e + 1.0f);
}

// ln(1 + e^x) = max(x, 0) + log1p(e^-|x|).
VIGOR_INLINE vfloat softplus(vfloat x) { return max(zero(), x) + log1p(exp(-abs(x))); }

// |x| < 0.92: x + x P(x^2), relative error 2e-8. Above: 1 - exp(Q(|x|)), where Q fits ln erfc up to 3.95, from where
// on the result is 1 in f32.
VIGOR_INLINE vfloat erf(vfloat x) {
  const vfloat a = min(broadcast(3.95f), abs(x)), z = x * x;
  vfloat p = fma(z, -0.0005965785619f, 0.004988303804f);
  p = fma(p, z, -0.02676332743f);
  p = fma(p, z, 0.1128172666f);
  p = fma(p, z, -0.3761248528f);
  p = fma(p, z, 0.1283791483f);
  const vfloat small = fma(p, x, x);
  vfloat q = fma(a, 0.0001959426703f, -0.003043267262f);
  q = fma(q, a, 0.02222710653f);
  q = fma(q, a, -0.103931959f);
  q = fma(q, a, -0.6371818601f);
  q = fma(q, a, -1.127675842f);
  q = fma(q, a, -0.0001956265029f);
  const vfloat large = copysign(1.0f - exp(q), x);
  return select(abs(x) < 0.92f, small, large);
}

}  // namespace VIGOR_ISA
}  // namespace vigor

#endif  // VIGOR_ISA
