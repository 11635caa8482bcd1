#pragma once
// The gated norm of Mamba-2 (Dao and Gu 2024, arXiv:2405.21060): root-mean-square normalisation of each of `groups`
// equal groups of neighbouring channels, and a SiLU gate before or behind it. For each row, with m = gate_multiplier,
// a = m gate and s = SiLU(a), and the sums run over the G = C / groups channels of a group:
//
//   norm_before_gate   rstd = 1 / sqrt(sum x^2 / G + eps),   xhat = x rstd,   y = xhat weight s
//       backward       h = dy weight s,   dx = rstd (h - xhat mean(h xhat))
//                      dgate = dy weight xhat s',   dweight = sum over rows of dy s xhat
//   else               u = x s,   rstd = 1 / sqrt(sum u^2 / G + eps),   uhat = u rstd,   y = uhat weight
//       backward       h = dy weight,   du = rstd (h - uhat mean(h uhat)),   dx = du s
//                      dgate = du x s',   dweight = sum over rows of dy uhat
//   where              s' = m sigmoid(a) (1 + a (1 - sigmoid(a)))
//
//   x, gate, y   [..,C]  f32, f64 or bf16, of one dtype. x and gate may be slices of one projection: when their rows
//                        are contiguous nothing is copied. y is contiguous
//   weight       [C]     the dtype of x, or f32 beside bf16
//   computed     in f32 (f64 for f64), rounded once
//   saved        x and gate (no bytes of their own) and rstd: 4 bytes a row and group (8 for f64); the gate is computed
//                again
#include "tensor/tensor.h"

namespace vigor {

// Throws std::invalid_argument when gate is not like x, weight is not [C], groups does not divide C, C is 0, or a dtype
// is not listed above.
Tensor gated_rms_norm(const Tensor& x, const Tensor& gate, const Tensor& weight, int64_t groups, bool norm_before_gate,
                      double eps = 1e-5, double gate_multiplier = 1);

}  // namespace vigor
