#pragma once
// SwiGLU, the gate of a feed-forward block (Shazeer 2020, arXiv:2002.05202). With m = gate_multiplier, element by
// element:
//
//   forward    a = m gate,   s = sigmoid(a),   y = a s up
//   backward   dup = a s dy
//              dgate = m s (1 + a (1 - s)) up dy
//
//   gate, up, y   [..,C]  f32, f64 or bf16 (computed in f32), of one dtype. gate and up may be slices of one
//                         projection: when their rows are contiguous nothing is copied. y is contiguous
//   saved         gate and up, no bytes of their own (a, s and y are computed again)
//
// CUDA     f32 and bf16; a thread computes a pack of 16 bytes. Moves the least: forward reads gate and up and writes y,
//          backward reads dy, gate and up and writes dgate and dup. Rows that are no whole packs, or begin at odd
//          addresses, go element by element
//
// Also the output gate of Mamba: y SiLU(z) is swiglu(z, y).
#include "tensor/tensor.h"

namespace vigor {

// Throws std::invalid_argument when gate and up differ in shape, dtype or device, or have a dtype not listed above.
Tensor swiglu(const Tensor& gate, const Tensor& up, double gate_multiplier = 1);

}  // namespace vigor
