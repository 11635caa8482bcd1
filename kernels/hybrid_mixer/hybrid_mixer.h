#pragma once
// The mixer of i3's hybrid layers: an RWKV-style moving average of each channel beside a dense linear state space
// (Peng et al. 2023, arXiv:2305.13048; Gu et al. 2022, arXiv:2111.00396). For each sequence, t = 0 .. T-1:
//
//   forward    h_t = w_mix * h_{t-1} + (1 - w_mix) * x_t        * is element by element
//              s_t = A s_{t-1} + B x_t
//              y_t = C s_t + D * h_t
//   backward   g_t = C^T dy_t + A^T g_{t+1}      (+ ds_last at the last step)     the gradient of s_t
//              q_t = D * dy_t + w_mix * q_{t+1}  (+ dh_last at the last step)     the gradient of h_t
//              dx_t = B^T g_t + (1 - w_mix) * q_t,   ds0 = A^T g_0,   dh0 = w_mix * q_0
//              dA = sum g_t s_{t-1}^T   dB = sum g_t x_t^T   dC = sum dy_t s_t^T   dD = sum dy_t * h_t
//              dw_mix = sum q_t * (h_{t-1} - x_t)                                 sums over batch and time
//
//   reset      resets[b,t] != 0: zeros take the place of h_{t-1} and s_{t-1}. A packed document starts at t.
//   padding    steps t >= lengths[b] carry h and s on unchanged; their y is 0, and no gradient enters or leaves there.
//
//   x, y               [B,T,d]  f32, f64 or bf16; x with any strides
//   w_mix, skip_d (D)  [d]      these and all below: f32 beside f32 and bf16, f64 beside f64
//   ssm_a (A)          [n,n]
//   ssm_b (B)          [n,d]
//   ssm_c (C)          [d,n]
//   h0, h_last         [B,d]
//   s0, s_last         [B,n]
//   lengths            [B]      i32, 0 .. T;   resets [B,T] u8;   all four options may be left undefined
//
// X B^T, S C^T and the sums over time of dA, dB and dC are matrix products over all tokens; only A s and the scan of h
// are sequential. w_mix and A are raw: nothing divides by them, takes their logarithm or raises them to a power.
//
// computed   sums and states in f32, for f64 in f64; T = 1 is the decode step
// saved      s [B,T,n], 4 B T n bytes (f64: 8), and the inputs. h is recomputed: [B,T,d] would be d/n times as large.
//            CUDA also saves h before each chunk of 32 steps, 4 B K d bytes with K = ceil(T/32)
//
// CUDA (f32, bf16; n up to 256): both recurrences are parallel in time. (1) Every chunk of 32 steps is scanned from a
// state of zero, all at once; (2) carries go from chunk to chunk, multiplied by w^32 and A^32 (five squarings each);
// (3) every chunk is scanned again from the state before it. h has a thread a channel and chunk; s a thread a state and
// chunk, with its row of A in registers. Backward is the same against time with A^T. Powers end at the 32nd: finite as
// long as no state could grow by 38 decimal digits within one chunk, and never multiplied with a state of exactly zero.
//   version 1  one thread a channel and one block a sequence walk all T steps; each product is its own naive kernel
//           2  chunks, as above; products as in version 1
//           3  products ride on the scans: X B^T on (1), + S C^T on (3), and backward dB, dC and B^T g too; T = 1 is
//              one launch. The default
//   bytes of version 3 (e = bytes of an element of x; "pass" = e B T d):
//     forward   3 passes, minimum 2; B and C once a chunk from the L2 cache, 8 n d; s about six times, 4 B T n each
//     backward  4 passes, minimum 3 (dy twice: dx_t needs g_t, and g_t all later dy); and partial sums of dB, dC,
//               dw_mix and dD, 4 (2 n + 2) d written and read for each of min(B K, 64) slices of chunks
//   work space  forward 4 (p B T n + B K n + 3 n n), p parts of the channels if p > 1, else 0; backward as much, and
//               4 (B T n + B K d + slices ((2 n + 2) d + n n)) bytes. Shared memory 34 KB, 21 KB, 40 KB a block
//   Results do not depend on the GPU: the order of every sum follows from the sizes alone. Lengths are not checked
//   (that would wait for the GPU): those outside 0 .. T count as the nearest.
#include "tensor/tensor.h"

namespace vigor {

struct HybridMixerOptions {
  Tensor h0, s0;   // state before the first step; undefined: zeros
  Tensor lengths;  // undefined: all T
  Tensor resets;   // undefined: none
};

struct HybridMixerResult {
  Tensor y;       // [B,T,d]
  Tensor h_last;  // [B,d], state after the last step
  Tensor s_last;  // [B,n]
};

// Differentiable in x, all parameters, h0 and s0, through y and both final states. Throws std::invalid_argument for
// other shapes or dtypes and for a length outside 0 .. T.
HybridMixerResult hybrid_mixer(const Tensor& x, const Tensor& w_mix, const Tensor& ssm_a, const Tensor& ssm_b,
                               const Tensor& ssm_c, const Tensor& skip_d, const HybridMixerOptions& options = {});

}  // namespace vigor
