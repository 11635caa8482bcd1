#pragma once
// Token shift (Peng et al. 2023, RWKV, arXiv:2305.13048, section 3.1.1): each channel is a mix of the token and the one
// before it. For each sequence, t = 0 .. T-1, with x_{-1} = state:
//
//   forward    y_t = mix * x_t + (1 - mix) * x_{t-1},   last_state = x_{T-1}       * is element by element
//   backward   dx_t = mix * dy_t + (1 - mix) * dy_{t+1}   (+ dlast_state at the last step)
//              dstate = (1 - mix) * dy_0
//              dmix = sum dy_t * (x_t - x_{t-1})             sum over batch and time
//
//   reset      resets[b,t] != 0: zeros take the place of x_{t-1}. A packed document starts at t.
//   padding    steps t >= lengths[b] carry the state on unchanged; their y is 0, and no gradient enters or leaves.
//
//   x, y                 [B,T,C]  f32, f64 or bf16; x may be a slice (unit stride in a row), else it is copied
//   mix                  [C]      this and below: f32 beside f32 and bf16, f64 beside f64
//   state, last_state    [B,C]    undefined state: zeros
//   lengths              [B]      i32, 0 .. T;   resets [B,T] u8;   both may be left undefined
//
// computed   in f32, for f64 in f64; T = 1 is the decode step
// saved      the inputs; nothing of its own
//
// Time is cut into blocks of 64 steps: forward reads x and writes y once, backward reads x and dy and writes dx once,
// and leaves the sum for dmix of each block of steps, added in their order.
//
// CUDA (f32, bf16): a thread owns 16 bytes of neighbouring channels and a block of 16 steps, and keeps the token before
// in registers. With R = ceil(T/16) blocks and a "pass" of e B T C bytes (e: of an element), for whole sequences:
//   forward    2 passes (the minimum) + e B C of tokens before blocks, and mix, 4 B R C, from the caches
//   backward   3 passes (the minimum) + 2 e B C about the borders of blocks, 4 B R C of mix; 4 B R C of sums,
//              written and read
//   Lengths are not checked (that would wait for the GPU): those outside 0 .. T count as the nearest.
#include "tensor/tensor.h"

namespace vigor {

struct TokenShiftOptions {
  Tensor state;    // [B,C], the token before the first step; undefined: zeros
  Tensor lengths;  // undefined: all T
  Tensor resets;   // undefined: none
};

struct TokenShiftResult {
  Tensor y;           // [B,T,C]
  Tensor last_state;  // [B,C], the last real token
};

// Differentiable in x, mix and state, through both results. Throws std::invalid_argument for other shapes or dtypes and
// for a length outside 0 .. T.
TokenShiftResult token_shift(const Tensor& x, const Tensor& mix, const TokenShiftOptions& options = {});

}  // namespace vigor
