#pragma once
// What simd_test.cpp calls: the functions of tensor/simd.h over arrays, once for every instruction set.
#include "tensor/simd.h"

namespace vigor {

enum class SimdFunction { exp, log, log1p, tanh, sigmoid, softplus, erf, sqrt };

VIGOR_PER_ISA(int lanes(); void apply(SimdFunction function, const float* x, float* y, int64_t n);
              float sum(const float* x, int64_t n); float maximum(const float* x, int64_t n);
              double sum_in_double(const float* x, int64_t n);
              void minimum_and_maximum(const float* a, const float* b, float* low, float* high, int64_t n);
              void stream_copy(const float* x, float* y, int64_t n); void to_float(const bf16* x, float* y, int64_t n);
              void to_half(const float* x, bf16* y, int64_t n);)

}  // namespace vigor
