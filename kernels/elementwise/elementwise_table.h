#pragma once
// The operations that work element by element: one row each. Adding one is adding a row (and test inputs).
//
// The formulas are compiled for vectors of f32 (elementwise_simd.cpp), for f64 numbers (elementwise_cpu.cpp) and for
// CUDA (elementwise_rows.cuh). So functions are those that tensor/simd.h has, and literals are floats that are exact in
// f64 too.
//   x     the input             y     the result f(x)
//   s, t  the numbers that the operation is called with
// The last column says what backward needs besides the gradient of y.
// Follows the rules of *_simd.cpp files: includes nothing.

// clang-format off
// Rows that become a public function of one tensor.
//      name         f(x)                 f'(x)                                                   keeps
#define VIGOR_FUNCTION_ROWS(ROW)                                                                                 \
  ROW(  neg,         -x,                  -1.0f,                                                  Keep::nothing) \
  ROW(  exp,         exp(x),              y,                                                      Keep::y)       \
  ROW(  log,         log(x),              1.0f / x,                                               Keep::x)       \
  ROW(  sqrt,        sqrt(x),             0.5f / y,                                               Keep::y)       \
  ROW(  tanh,        tanh(x),             1.0f - y * y,                                           Keep::y)       \
  ROW(  sigmoid,     sigmoid(x),          y * (1.0f - y),                                         Keep::y)       \
  ROW(  silu,        x * sigmoid(x),      sigmoid(x) * (1.0f + x * (1.0f - sigmoid(x))),          Keep::x)       \
  ROW(  softplus,    softplus(x),         sigmoid(x),                                             Keep::x)

// Rows with numbers: clamp(x, s, t), x + s, s - x, x * s, x / s and s / x.
#define VIGOR_NUMBER_ROWS(ROW)                                                                                   \
  ROW(  clamp,       min(t, max(s, x)),   within(x, s, t),                                        Keep::x)       \
  ROW(  add_number,  x + s,               1.0f,                                                   Keep::nothing) \
  ROW(  number_sub,  s - x,               -1.0f,                                                  Keep::nothing) \
  ROW(  mul_number,  x * s,               s,                                                      Keep::nothing) \
  ROW(  div_number,  x / s,               1.0f / s,                                               Keep::nothing) \
  ROW(  number_div,  s / x,               -(s / x) / x,                                           Keep::x)

#define VIGOR_UNARY_ROWS(ROW) VIGOR_FUNCTION_ROWS(ROW) VIGOR_NUMBER_ROWS(ROW)

//      name         f(a, b)              df/da                 df/db                             keeps
#define VIGOR_BINARY_ROWS(ROW)                                                                                   \
  ROW(  add,         a + b,               1.0f,                 1.0f,                             Keep::nothing) \
  ROW(  sub,         a - b,               1.0f,                 -1.0f,                            Keep::nothing) \
  ROW(  mul,         a * b,               b,                    a,                                Keep::inputs)  \
  ROW(  div,         a / b,               1.0f / b,             -(a / b) / b,                     Keep::inputs)
// clang-format on

namespace vigor {

enum class Keep { nothing, x, y, inputs };

#define VIGOR_ENUMERATOR(name, ...) name,
enum class Unary { VIGOR_UNARY_ROWS(VIGOR_ENUMERATOR) };
enum class Binary { VIGOR_BINARY_ROWS(VIGOR_ENUMERATOR) };
#undef VIGOR_ENUMERATOR

}  // namespace vigor
