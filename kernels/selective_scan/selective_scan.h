#pragma once
// The selective scan, the recurrence of Mamba-1 (Gu and Dao 2023, arXiv:2312.00752, algorithm 2): every channel e has N
// states whose decay and input depend on the token. With A = -exp(a_log), for each sequence, t = 0 .. T-1:
//
//   forward    s_t[e] = softplus(delta_t[e] + delta_bias[e])                          the step size
//              h_t[e,n] = exp(s_t[e] A[e,n]) h_{t-1}[e,n] + s_t[e] B_t[n] x_t[e]
//              y_t[e] = sum_n C_t[n] h_t[e,n] + D[e] x_t[e]
//   backward   g_t[e,n] = C_t[n] dy_t[e] + exp(s_{t+1}[e] A[e,n]) g_{t+1}[e,n]        the gradient of h_t
//                                                      (+ dlast_state at the last step)
//              k_t[e,n] = g_t[e,n] exp(s_t[e] A[e,n]) h_{t-1}[e,n]                    that of s_t[e] A[e,n]
//              dx_t[e] = D[e] dy_t[e] + s_t[e] sum_n g_t[e,n] B_t[n]
//              ds_t[e] = sum_n k_t[e,n] A[e,n] + x_t[e] sum_n g_t[e,n] B_t[n]
//              ddelta_t[e] = ds_t[e] sigmoid(delta_t[e] + delta_bias[e])
//              dB_t[n] = sum_e g_t[e,n] s_t[e] x_t[e],   dC_t[n] = sum_e dy_t[e] h_t[e,n]
//              da_log = A sum k_t s_t,   dD = sum dy_t x_t,   ddelta_bias = sum ddelta_t        over batch and time
//              dstate = exp(s_0 A) g_0
//
//   reset      resets[b,t] != 0: zeros take the place of h_{t-1}. A packed document starts at t.
//   padding    steps t >= lengths[b] carry the state on unchanged; their y is 0, and no gradient enters or leaves.
//
//   x, delta, y         [B,T,E]  f32, f64 or bf16, all of one; x, delta, B and C may be slices (elements of a row side
//   b, c (B, C)         [B,T,N]  by side), else they are copied; N at most 128
//   a_log               [E,N]    these and below: f32 beside f32 and bf16, f64 beside f64
//   d (D), delta_bias   [E]
//   state, last_state   [B,E,N]  undefined state: zeros
//   lengths             [B]      i32, 0 .. T;   resets [B,T] u8;   both may be left undefined
//
// s and -A are positive, so no exponent is: decays lie in (0, 1].
//
// computed     in f32, for f64 in f64; T = 1 is the decode step
// saved        the inputs, and the states before each chunk of 16 steps: 4 B E N ceil(T/16) bytes (f64: 8), a sixteenth
//              of all states. Backward repeats a chunk from there
// work space   backward: sums over 64 channels for dB and dC, 8 B T N ceil(E/64) bytes; sums over time for the rest,
//              4 B E (N + 2) bytes (f64: twice)
//
// CUDA (f32, bf16; N at most 64): 4 lanes own a channel (16 with N above 16), four states each in registers; a block of
// 128 threads walks the steps of 32 (8) channels of one sequence in chunks of 16, whose rows stand in shared memory (6
// to 9 KB, backward 42 to 44). With e bytes of an element of x, a "pass" of e B T E, M = ceil(E/32) or ceil(E/8) blocks
// of channels and K = ceil(T/16) chunks:
//   forward    3 passes (the minimum); 2 e B T N M of B and C; 4 B E N of the last state; with a gradient 4 B E N K of
//              chunk states
//   backward   5 passes (the minimum); 2 e B T N M of B and C; 4 B E N K of chunk states; 4 B E (2 N + 2) of the
//              state's gradient and the parameters' sums; 8 B T N M of sums for dB and dC, written and read
//   Lengths are not checked (that would wait for the GPU): those outside 0 .. T count as the nearest.
#include "tensor/tensor.h"

namespace vigor {

struct SelectiveScanOptions {
  Tensor state;    // [B,E,N]; undefined: zeros
  Tensor lengths;  // undefined: all T
  Tensor resets;   // undefined: none
};

struct SelectiveScanResult {
  Tensor y;           // [B,T,E]
  Tensor last_state;  // [B,E,N], after the last real step
};

// Differentiable in all inputs and the state, through both results. Throws std::invalid_argument for other shapes or
// dtypes and for a length outside 0 .. T.
SelectiveScanResult selective_scan(const Tensor& x, const Tensor& delta, const Tensor& b, const Tensor& c,
                                   const Tensor& a_log, const Tensor& d, const Tensor& delta_bias,
                                   const SelectiveScanOptions& options = {});

}  // namespace vigor
