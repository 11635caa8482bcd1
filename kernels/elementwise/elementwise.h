#pragma once
// Operations that work element by element; elementwise_table.h holds the formulas, a row each.
//
//   forward    y = f(x)                  y = f(a, b), sizes broadcast as in NumPy, or one side a number
//   backward   dx = dy f'(x)             da = dy df/da, db = dy df/db, summed over the dimensions they were expanded in
//
//   x, y       any sizes                 a, b and y of one dtype: f32, f64, or bf16 (computed in f32)
//   saved      add, sub, neg, and products with a number: nothing
//              exp, sqrt, tanh, sigmoid: y;   log, silu, softplus, clamp, number / x: x
//              mul, div: the inputs that the wanted gradients need
//
// CUDA: a thread computes 16 bytes of the result (kernels/map_cuda.cuh), in f32 and bf16. Each input is read and the
// result written once, the minimum; a broadcast input is read again in every row, from the cache. Gradients of
// broadcast inputs are written in full and summed in a second pass.
//
// Where clamp's input is exactly a limit the gradient passes, as in PyTorch. Inputs may be strided.
// Errors: std::invalid_argument for sizes that do not broadcast, two dtypes, or a dtype that is not listed above.
#include "kernels/elementwise/elementwise_table.h"
#include "tensor/tensor.h"

namespace vigor {

// neg(x), exp(x), log(x), sqrt(x), tanh(x), sigmoid(x), silu(x), softplus(x)
#define VIGOR_DECLARE(name, ...) Tensor name(const Tensor& x);
VIGOR_FUNCTION_ROWS(VIGOR_DECLARE)
#undef VIGOR_DECLARE

Tensor clamp(const Tensor& x, double low, double high);

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor add(const Tensor& a, double b);
Tensor sub(const Tensor& a, double b);
Tensor mul(const Tensor& a, double b);
Tensor div(const Tensor& a, double b);
Tensor add(double a, const Tensor& b);
Tensor sub(double a, const Tensor& b);
Tensor mul(double a, const Tensor& b);
Tensor div(double a, const Tensor& b);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& a, double b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, double b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, double b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, double b) { return div(a, b); }
inline Tensor operator+(double a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(double a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(double a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(double a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }

}  // namespace vigor
