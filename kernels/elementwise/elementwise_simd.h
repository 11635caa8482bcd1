#pragma once
// The table's formulas over one stretch of n elements. Inputs have any stride, in elements; results are contiguous.
#include "kernels/elementwise/elementwise_table.h"
#include "tensor/simd.h"

namespace vigor {

// A stretch of an input.
template <class T>
struct Elements {
  const T* data;
  int64_t stride;
};

// clang-format off
VIGOR_PER_ISA(
    void unary_forward(Unary op, float* y, Elements<float> x, int64_t n, float s, float t);
    void unary_forward(Unary op, bf16* y, Elements<bf16> x, int64_t n, float s, float t);
    // dx = dy f'(x); kept is x or y, whichever the row says.
    void unary_backward(Unary op, float* dx, Elements<float> dy, Elements<float> kept, int64_t n, float s, float t);
    void unary_backward(Unary op, bf16* dx, Elements<bf16> dy, Elements<bf16> kept, int64_t n, float s, float t);

    void binary_forward(Binary op, float* y, Elements<float> a, Elements<float> b, int64_t n);
    void binary_forward(Binary op, bf16* y, Elements<bf16> a, Elements<bf16> b, int64_t n);
    // dx = dy df/da for input 0, dy df/db for input 1.
    void binary_backward(Binary op, int input, float* dx, Elements<float> dy, Elements<float> a, Elements<float> b,
                         int64_t n);
    void binary_backward(Binary op, int input, bf16* dx, Elements<bf16> dy, Elements<bf16> a, Elements<bf16> b,
                         int64_t n);)
// clang-format on

}  // namespace vigor
