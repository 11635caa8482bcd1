// Arithmetic of every type, one function a kernel; arithmetic_test.cpp has the same functions in plain C++.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define VIGOR_UNARY(name, D, A, ...)                              \
  extern "C" __global__ void name(D* out, const A* in_a, int n) { \
    const int i = blockIdx.x * blockDim.x + threadIdx.x;          \
    if (i >= n) return;                                           \
    const A a = in_a[i];                                          \
    out[i] = __VA_ARGS__;                                         \
  }
#define VIGOR_BINARY(name, D, A, ...)                                            \
  extern "C" __global__ void name(D* out, const A* in_a, const A* in_b, int n) { \
    const int i = blockIdx.x * blockDim.x + threadIdx.x;                         \
    if (i >= n) return;                                                          \
    const A a = in_a[i], b = in_b[i];                                            \
    out[i] = __VA_ARGS__;                                                        \
  }

using s64 = long long;
using u64 = unsigned long long;

VIGOR_BINARY(f32_add_rn, float, float, __fadd_rn(a, b))
VIGOR_BINARY(f32_add_rz, float, float, __fadd_rz(a, b))
VIGOR_BINARY(f32_add_ru, float, float, __fadd_ru(a, b))
VIGOR_BINARY(f32_add_rd, float, float, __fadd_rd(a, b))
VIGOR_BINARY(f32_sub, float, float, a - b)
VIGOR_BINARY(f32_mul_rn, float, float, __fmul_rn(a, b))
VIGOR_BINARY(f32_mul_rz, float, float, __fmul_rz(a, b))
VIGOR_BINARY(f32_fma_rn, float, float, __fmaf_rn(a, b, a))
VIGOR_BINARY(f32_fma_ru, float, float, __fmaf_ru(a, b, a))
VIGOR_BINARY(f32_div, float, float, a / b)
VIGOR_BINARY(f32_div_rd, float, float, __fdiv_rd(a, b))
VIGOR_BINARY(f32_min, float, float, fminf(a, b))
VIGOR_BINARY(f32_max, float, float, fmaxf(a, b))
VIGOR_BINARY(f32_copysign, float, float, copysignf(a, b))
VIGOR_BINARY(f32_less, int, float, a < b)
VIGOR_BINARY(f32_not_less, int, float, !(a < b))
VIGOR_BINARY(f32_equal, int, float, a == b)
VIGOR_BINARY(f32_not_equal, int, float, a != b)
VIGOR_UNARY(f32_sqrt, float, float, sqrtf(a))
VIGOR_UNARY(f32_reciprocal, float, float, __frcp_rn(a))
VIGOR_UNARY(f32_rsqrt, float, float, rsqrtf(a))
VIGOR_UNARY(f32_saturate, float, float, __saturatef(a))
VIGOR_UNARY(f32_negate, float, float, -a)
VIGOR_UNARY(f32_abs, float, float, fabsf(a))
VIGOR_UNARY(f32_floor, float, float, floorf(a))
VIGOR_UNARY(f32_ceil, float, float, ceilf(a))
VIGOR_UNARY(f32_trunc, float, float, truncf(a))
VIGOR_UNARY(f32_rint, float, float, rintf(a))
VIGOR_UNARY(f32_round, float, float, roundf(a))
VIGOR_UNARY(f32_exp, float, float, expf(a))
VIGOR_UNARY(f32_log, float, float, logf(a))
VIGOR_UNARY(f32_sin, float, float, sinf(a))
VIGOR_UNARY(f32_cos, float, float, cosf(a))
VIGOR_UNARY(f32_tanh, float, float, tanhf(a))
VIGOR_UNARY(f32_erf, float, float, erff(a))
VIGOR_UNARY(f32_fast_exp, float, float, __expf(a))
VIGOR_UNARY(f32_is_nan, int, float, isnan(a))
VIGOR_UNARY(f32_to_s32_rn, int, float, __float2int_rn(a))
VIGOR_UNARY(f32_to_s32_rz, int, float, __float2int_rz(a))
VIGOR_UNARY(f32_to_s32_ru, int, float, __float2int_ru(a))
VIGOR_UNARY(f32_to_u32_rz, unsigned, float, __float2uint_rz(a))
VIGOR_UNARY(f32_to_s64_rd, s64, float, __float2ll_rd(a))
VIGOR_UNARY(f32_to_u64_rz, u64, float, __float2ull_rz(a))
VIGOR_UNARY(f32_to_f64, double, float, static_cast<double>(a))

// .ftz: subnormal inputs and results are zeros of the same sign.
VIGOR_BINARY(f32_mul_ftz, float, float, [&] {
  float r;
  asm("mul.rn.ftz.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}())

VIGOR_BINARY(f64_add_rz, double, double, __dadd_rz(a, b))
VIGOR_BINARY(f64_div, double, double, a / b)
VIGOR_BINARY(f64_fma, double, double, fma(a, b, b))
VIGOR_UNARY(f64_sqrt, double, double, sqrt(a))
VIGOR_UNARY(f64_to_f32_rn, float, double, __double2float_rn(a))
VIGOR_UNARY(f64_to_f32_ru, float, double, __double2float_ru(a))
VIGOR_UNARY(f64_to_s32, int, double, __double2int_rn(a))

VIGOR_BINARY(s32_add, int, int, a + b)
VIGOR_BINARY(s32_mul, int, int, a* b)
VIGOR_BINARY(s32_mul_high, int, int, __mulhi(a, b))
VIGOR_BINARY(s32_mul_wide, s64, int, static_cast<s64>(a) * b)
VIGOR_BINARY(s32_div, int, int, b == 0 || (a == INT_MIN && b == -1) ? 0 : a / b)
VIGOR_BINARY(s32_rem, int, int, b == 0 || (a == INT_MIN && b == -1) ? 0 : a % b)
VIGOR_BINARY(s32_min, int, int, min(a, b))
VIGOR_BINARY(s32_shift_right, int, int, a >> (b & 31))
VIGOR_BINARY(s32_sad, unsigned, int, __sad(a, b, 7u))
VIGOR_BINARY(s32_dp4a, int, int, __dp4a(a, b, 11))
VIGOR_UNARY(s32_abs, int, int, abs(a))
VIGOR_UNARY(s32_to_f32_rn, float, int, __int2float_rn(a))
VIGOR_UNARY(s32_to_f32_rd, float, int, __int2float_rd(a))
VIGOR_UNARY(s32_to_f64, double, int, static_cast<double>(a))
VIGOR_UNARY(s32_to_s8, int, int, static_cast<signed char>(a))
VIGOR_UNARY(s32_to_s16, int, int, static_cast<short>(a))
VIGOR_UNARY(s32_find_first, int, int, __ffs(a))

VIGOR_BINARY(u32_div, unsigned, unsigned, b == 0 ? 0 : a / b)
VIGOR_BINARY(u32_rem, unsigned, unsigned, b == 0 ? 0 : a % b)
VIGOR_UNARY(u32_div_by_7, unsigned, unsigned, a / 7)
VIGOR_BINARY(u32_mul_high, unsigned, unsigned, __umulhi(a, b))
VIGOR_BINARY(u32_permute, unsigned, unsigned, [&] {
  unsigned r;
  asm("prmt.b32 %0, %1, %2, 0x5c16;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}())
VIGOR_BINARY(u32_funnel_left, unsigned, unsigned, __funnelshift_l(a, b, b))
VIGOR_BINARY(u32_funnel_clamp, unsigned, unsigned, __funnelshift_rc(a, b, b & 63))
VIGOR_BINARY(u32_logic, unsigned, unsigned, (a & b) ^ (~a | (b << 3)))
VIGOR_UNARY(u32_count, int, unsigned, __popc(a))
VIGOR_UNARY(u32_leading, int, unsigned, __clz(a))
VIGOR_UNARY(u32_reverse, unsigned, unsigned, __brev(a))
VIGOR_UNARY(u32_field, unsigned, unsigned, [&] {
  unsigned r;
  asm("bfe.u32 %0, %1, 5, 9;" : "=r"(r) : "r"(a));
  return r;
}())
VIGOR_UNARY(u32_signed_field, int, int, [&] {
  int r;
  asm("bfe.s32 %0, %1, 27, 9;" : "=r"(r) : "r"(a));
  return r;
}())
VIGOR_BINARY(u32_insert, unsigned, unsigned, [&] {
  unsigned r;
  asm("bfi.b32 %0, %1, %2, 7, 12;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}())
VIGOR_UNARY(u32_to_f32, float, unsigned, static_cast<float>(a))

VIGOR_BINARY(s64_mul, s64, s64, a* b)
VIGOR_BINARY(s64_mul_high, s64, s64, __mul64hi(a, b))
VIGOR_BINARY(s64_div, s64, s64, b == 0 || b == -1 ? 0 : a / b)
VIGOR_BINARY(u64_rem, u64, u64, b == 0 ? 0 : a % b)
VIGOR_BINARY(s64_shift, s64, s64, (a << (b & 63)) ^ (a >> (b & 63)))
VIGOR_BINARY(s64_less, int, s64, a < b)
VIGOR_UNARY(s64_count, int, s64, __popcll(a))
VIGOR_UNARY(s64_leading, int, s64, __clzll(a))
VIGOR_UNARY(s64_to_f32, float, s64, static_cast<float>(a))
VIGOR_UNARY(u64_to_f64, double, u64, static_cast<double>(a))
// 128-bit sum: add.cc and addc.
VIGOR_BINARY(u64_add_carry, u64, u64, [&] {
  u64 low, high;
  asm("add.cc.u64 %0, %2, %3; addc.u64 %1, %2, %3;" : "=l"(low), "=l"(high) : "l"(a), "l"(b));
  return high ^ low;
}())

VIGOR_UNARY(f32_to_bf16, __nv_bfloat16, float, __float2bfloat16_rn(a))
VIGOR_UNARY(f32_to_bf16_rz, __nv_bfloat16, float, __float2bfloat16_rz(a))
VIGOR_BINARY(f32_to_bf16x2, __nv_bfloat162, float, __floats2bfloat162_rn(a, b))
VIGOR_UNARY(bf16_to_f32, float, __nv_bfloat16, __bfloat162float(a))
VIGOR_BINARY(bf16_add, __nv_bfloat16, __nv_bfloat16, __hadd(a, b))
VIGOR_BINARY(bf16_mul, __nv_bfloat16, __nv_bfloat16, __hmul(a, b))
VIGOR_BINARY(bf16_fma, __nv_bfloat16, __nv_bfloat16, __hfma(a, b, a))
VIGOR_BINARY(bf16_fma_pair, __nv_bfloat162, __nv_bfloat162, __hfma2(a, b, b))
VIGOR_BINARY(bf16_max, __nv_bfloat16, __nv_bfloat16, __hmax(a, b))
VIGOR_BINARY(bf16_less, int, __nv_bfloat16, __hlt(a, b))
VIGOR_UNARY(f32_to_f16, __half, float, __float2half_rn(a))
VIGOR_UNARY(f32_to_f16_rz, __half, float, __float2half_rz(a))
VIGOR_UNARY(f16_to_f32, float, __half, __half2float(a))
VIGOR_BINARY(f16_add, __half, __half, __hadd(a, b))
VIGOR_BINARY(f16_fma, __half, __half, __hfma(a, b, b))
VIGOR_BINARY(f16_mul_pair, __half2, __half2, __hmul2(a, b))
VIGOR_UNARY(f16_to_s32, int, __half, __half2int_rn(a))
