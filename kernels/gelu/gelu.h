#pragma once
// GELU, the Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415), element by element.
//
//   erf   forward    y = x Phi(x),             Phi(x) = (1 + erf(x / sqrt 2)) / 2
//         backward   dx = dy (Phi(x) + x phi(x)),   phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
//   tanh  forward    y = x (1 + tanh u) / 2,   u = sqrt(2 / pi) (x + 0.044715 x^3)
//         backward   dx = dy ((1 + t) / 2 + x (1 - t^2) u' / 2),   t = tanh u,  u' = sqrt(2 / pi) (1 + 0.134145 x^2)
//
//   x, y       [...]  f32, f64 or bf16, any strides; y contiguous
//   computed   in f32 for f32 and bf16, in f64 for f64 (CPU only)
//   saved      x: no bytes of its own when x is contiguous
//
// CUDA: a thread computes 16 bytes of the result. Forward reads x and writes y, backward reads dy and x and writes dx,
// each once: 2 and 3 times nbytes of x, the minimum.
//
// linear_gelu (kernels/linear) computes the erf form while the matrix product is still in the cache.
#include "tensor/tensor.h"

namespace vigor {

enum class GeluKind : uint8_t { erf, tanh };

// Throws std::invalid_argument for other dtypes.
Tensor gelu(const Tensor& x, GeluKind kind = GeluKind::erf);

}  // namespace vigor
