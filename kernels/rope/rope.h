#pragma once
// Rotary position embedding (Su et al. 2021, arXiv:2104.09864) in the half-split layout of Llama and Falcon-H1. For
// step t of sequence b, pair j of a head is (x_j, x_{j+P/2}), and
//
//   angle      a = (offsets[b] + t) theta^(-2j/P)
//   forward    y_j       = scale (x_j cos a - x_{j+P/2} sin a)
//              y_{j+P/2} = scale (x_{j+P/2} cos a + x_j sin a)
//   backward   the same with -a
//
//   x, y       [B,T,H,P]  f32, f64 or bf16 (computed in f32), P even and at most 512. x may be a slice of a fused
//                         projection: when its last stride is 1 nothing is copied. y is contiguous
//   offsets    [B]        i32, the position of step 0 of each sequence, at least 0
//   saved      nothing but offsets
//
// Precision: sin and cos are within 1e-6 of the true ones at every position below 2^31. A float32 angle cannot do that:
// at position 262,143 its last bit is 1/32. So the frequency is taken in turns (of 2 pi), theta^(-2j/P) / (2 pi), as a
// fraction of 64 bits, a high and a low word. The position times that, modulo 2^64, is the angle modulo one turn: whole
// turns fall off at the top. f64 takes sine and cosine of the angle in f64, and is the reference of the tests.
// With transformers_angles the angle is float32(inv_freq) * float32(position), as in the transformers package, for
// comparison with it; f64 then rounds the angle in the same way.
//
// sin and cos are computed once for each (b, t, j) and serve all heads.
//
// CUDA     f32 and bf16. A block owns 512 / P steps: each thread computes one sine and cosine, then all turn the heads
//          of these steps, 16 bytes of both halves at a time. Moves the least: reads x, writes y, and 4 bytes of
//          offsets a step. The frequencies, 3 KB, travel with the launch. Shared memory 4 KB
#include "tensor/tensor.h"

namespace vigor {

struct RopeOptions {
  double theta = 10000;
  double scale = 1;  // multiplies y: a muP factor of the keys costs nothing here
  Tensor offsets{};  // undefined: 0
  bool transformers_angles = false;
};

// Throws std::invalid_argument for another rank, dtype or P, a theta below 1, or offsets that are not [B] i32 on the
// device of x; and on the CPU for a negative offset (on a GPU to look at them would be to wait).
Tensor rope(const Tensor& x, const RopeOptions& options = {});

}  // namespace vigor
