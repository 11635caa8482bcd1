#pragma once
// The scan of Mamba-2: a state [P,N] a head that decays by one number a step (Dao and Gu 2024, arXiv:2405.21060). Head
// h of H reads B and C of group h / (H / G). For each sequence and head, t = 0 .. T-1:
//
//   forward    dt'_t = clamp(softplus(dt_t + dt_bias), dt_min, dt_max)       softplus(u) = u above u = 20, as PyTorch's
//              S_t = e_t S_{t-1} + dt'_t x_t B_t^T,   e_t = exp(a dt'_t),   a = -exp(a_log)
//              y_t = S_t C_t + D x_t
//   backward   g_t = dy_t C_t^T + e_{t+1} g_{t+1}   (+ dlast_state at the last step)     the gradient of S_t [P,N]
//              r_t = e_t (g_t : S_{t-1})              the gradient of a dt'_t; ":" sums over products of elements
//              dx_t = dt'_t g_t B_t + D dy_t
//              dB_t = sum of dt'_t g_t^T x_t,   dC_t = sum of S_t^T dy_t                 sums over the heads of a group
//              ddt'_t = x_t . g_t B_t + a r_t
//              ddt_t = ddt'_t softplus'(dt_t + dt_bias), or 0 where it was clamped
//              dstate = e_0 g_0;   da_log = a sum of dt'_t r_t,   dD = sum of dy_t . x_t,   ddt_bias = sum of ddt_t
//
//   reset      resets[b,t] != 0: zeros take the place of S_{t-1}. A packed document starts at t.
//   padding    steps t >= lengths[b] carry S on unchanged; their y is 0, and no gradient enters or leaves there.
//
//   x, y               [B,T,H,P]  f32, f64 or bf16
//   dt                 [B,T,H]    before bias and softplus      these three of the dtype of x. x, dt, B and C are used
//   ssm_b (B)          [B,T,G,N]  G divides H                   without a copy where their last stride is 1: they are
//   ssm_c (C)          [B,T,G,N]                                slices of one projection
//   a_log, dt_bias     [H]        these and below: f32 beside f32 and bf16, f64 beside f64
//   skip_d (D)         [H]
//   state, last_state  [B,H,P,N]
//   lengths            [B]        i32, 0 .. T;   resets [B,T] u8;   the three options may be left undefined
//
// computed   sums and states in f32, for f64 in f64; T = 1 is the decode step: it reads and writes the state once
// saved      the inputs, and S before every chunk of Q = 64 steps: 4 B ceil(T/Q) H P N bytes, with P and N rounded up
//            to 16 on the CPU (f64 saves the inputs alone and computes each S once more)
//
// CPU, f32 and bf16: chunks of Q steps in the paper's dual form. With L_i the sum of a dt' over the steps of a chunk up
// to i, M_ij = exp(L_i - L_j) for j <= i in the same document, else 0, and S the state before the chunk,
//
//   Y = (M * (C B^T) * dt') X + exp(L) C S^T + D X,   S' = exp(L_Q) S + (exp(L_Q - L) dt' X)^T B      * is by element
//
// are matrix products; C B^T is computed once for the heads of a group. Backward takes the chunks from the last to the
// first, with the gradient of the state behind the chunk in place of S. Nothing is divided by a decay. An exponent is
// positive only within blocks of 16 steps that leave at least e^-40 of a state, and at most 40 there: nothing overflows
// however fast a state decays. r_t is a sum over the pairs j < t <= i of a chunk, not the difference of two larger
// sums: it keeps its accuracy where decays are fast. The profiler counts these products.
// Results do not depend on the number of threads.
//
// CUDA (f32, bf16): the same chunks, all of them at once; a block has a tile of 64 x 64 numbers of one product. Only
// the states go from chunk to chunk in turn, a thread a number of them. K = ceil(T/Q):
//   forward    L, dt' and C B^T of every chunk; what each chunk adds to the state; the states in front of the chunks,
//              in the same memory; Y. For T = 1 without a gradient: one launch, a warp a row of the state
//   backward   L, dt' and C B^T again; what each chunk adds to the gradient of its state; those behind the chunks; dx;
//              dt and the pairs dy_i . x_j; and dB and dC, each as one product over the heads and channels of a group,
//              so that the sum over the heads has one order and costs nothing
//   version 1  products and sums in f32
//           2  bf16 activations: factors, also decays and states, are rounded to bf16 for the tensor cores (sums in
//              f32, states kept in f32). The default; f32 activations use version 1
//   flops      forward 2 B T H (2 P N + Q P) + 2 B T G Q N; backward 2 B T H (5 P N + 2 Q P) + 2 B T G (3 Q N)
//   bytes      states, 4 B K H P N (N / 16 bytes for each number of x): forward written twice and read twice, backward
//              read three times, their gradients written twice and read four times. Activations: forward x read twice
//              and y written; backward dy read five times, x three times, dx written. B and C come from the L2 cache
//   work space 4 B K (Q (5 H + 1 + G Q)) bytes; backward besides 4 B K (H (P N + Q Q + 3 Q + 4) + G Q Q)
//   Shared memory 19 KB a block, 36 KB for the pairs. Results do not depend on the GPU. Lengths are not checked (that
//   would wait for the GPU): those outside 0 .. T count as the nearest.
#include <limits>

#include "tensor/tensor.h"

namespace vigor {

struct Mamba2ScanOptions {
  Tensor state;                                                         // before the first step; undefined: zeros
  Tensor lengths;                                                       // undefined: all T
  Tensor resets;                                                        // undefined: none
  double dt_min = 0, dt_max = std::numeric_limits<double>::infinity();  // "time_step_limit"
};

struct Mamba2ScanResult {
  Tensor y;           // [B,T,H,P]
  Tensor last_state;  // [B,H,P,N], after the last step
};

// Differentiable in x, dt, B, C, a_log, D, dt_bias and state, through y and last_state. Throws std::invalid_argument
// for other shapes or dtypes, for a length outside 0 .. T, and unless 0 <= dt_min <= dt_max.
Mamba2ScanResult mamba2_scan(const Tensor& x, const Tensor& dt, const Tensor& ssm_b, const Tensor& ssm_c,
                             const Tensor& a_log, const Tensor& skip_d, const Tensor& dt_bias,
                             const Mamba2ScanOptions& options = {});

}  // namespace vigor
