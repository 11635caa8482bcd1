#pragma once
// WKV, the time mixing of RWKV-4 (Peng et al. 2023, arXiv:2305.13048, section 3.1 and appendix D): an average of all
// values so far, weighted by e^key and a decay of each channel. With w = -exp(time_decay) and u = time_first, for each
// sequence and channel, t = 0 .. T-1:
//
//   meaning    A_t = e^w A_{t-1} + e^{k_t} v_t,   B_t = e^w B_{t-1} + e^{k_t}
//              y_t = (A_{t-1} + e^{u + k_t} v_t) / (B_{t-1} + e^{u + k_t})
//   computed   with a running maximum p, A = a e^p and B = b e^p, so that no exponent is positive. From (a, b, p):
//   forward    q = max(p, u + k_t),  y_t = (e^{p-q} a + e^{u+k_t-q} v_t) / (e^{p-q} b + e^{u+k_t-q})
//              p' = max(p + w, k_t), a' = e^{p+w-p'} a + e^{k_t-p'} v_t,  b' = e^{p+w-p'} b + e^{k_t-p'}
//   backward   n = e^{p-q} b + e^{u+k_t-q} is the divisor of y_t; da', db', dr' come from step t+1 (or dlast_state)
//              c = e^{u+k_t-q} dy_t (v_t - y_t) / n                                the part of u + k_t
//              dv_t = e^{u+k_t-q} dy_t / n + e^{k_t-p'} da'
//              dk_t = c + e^{k_t-p'} (da' v_t + db')         + dr' if p' = k_t
//              dw   = sum e^{p+w-p'} (a da' + b db')         + dr' if p' = p + w;  dtime_decay = w dw
//              dtime_first = sum c                                                 sums over batch and time
//              da = e^{p+w-p'} da' + e^{p-q} dy_t / n,   db = e^{p+w-p'} db' - e^{p-q} dy_t y_t / n
//              dr = dr' if p' = p + w, else 0
//
// The state is the three numbers (a, b, p), and its gradient is exactly theirs: da and db at fixed p, and
// dp = a da + b db + dr. Every operation that uses p only as the scale of a and b, as the next wkv does, hands back
// dp = a da + b db. The remainder dr = dp - (a da + b db) is then 0; it is carried, along the maximum, only for a
// caller that looks at p itself. Where p is -infinity (nothing seen) all three gradients are 0.
//
//   reset      resets[b,t] != 0: (0, 0, -infinity) takes the place of the state before step t. A packed document starts
//              at t.
//   padding    steps t >= lengths[b] carry the state on unchanged; their y is 0, and no gradient enters or leaves.
//
//   k, v, y                   [B,T,C]  f32, f64 or bf16, all of one; k and v may be slices (elements of a row side by
//                                      side), else they are copied
//   time_decay, time_first    [C]      these and below: f32 beside f32 and bf16, f64 beside f64
//   state, last_state         [B,3,C]  a, b, p; undefined state: 0, 0, -infinity
//   lengths                   [B]      i32, 0 .. T;   resets [B,T] u8;   both may be left undefined
//
// computed   in f32, for f64 in f64; of e^{p-q} and e^{u+k-q} one is always 1, so a step costs two exponentials.
//            T = 1 is the decode step
// saved      the inputs, and the state before each chunk of 32 steps: 12 B C ceil(T/32) bytes (f64: 24). Backward
//            repeats a chunk from there
//
// CUDA (f32, bf16): a thread owns a channel of a sequence and walks its steps with the state in registers; eight steps
// are loaded together. With K = ceil(T/32) chunks and e bytes of an element of k:
//   forward    3 e B T C bytes, the minimum; 12 B C of the last state, and with a gradient 12 B C K of chunk states
//   backward   5 e B T C, the minimum, and k and v once more from the caches; 12 B C K of chunk states; 8 B C of sums,
//              written and read. The states of a chunk stand in shared memory, 24 KB a block of 64 threads
//   Lengths are not checked (that would wait for the GPU): those outside 0 .. T count as the nearest.
#include "tensor/tensor.h"

namespace vigor {

struct WkvOptions {
  Tensor state;    // [B,3,C]; undefined: nothing seen
  Tensor lengths;  // undefined: all T
  Tensor resets;   // undefined: none
};

struct WkvResult {
  Tensor y;           // [B,T,C]
  Tensor last_state;  // [B,3,C], after the last real step
};

// Differentiable in k, v, time_decay, time_first and state, through both results. Throws std::invalid_argument for
// other shapes or dtypes and for a length outside 0 .. T.
WkvResult wkv(const Tensor& k, const Tensor& v, const Tensor& time_decay, const Tensor& time_first,
              const WkvOptions& options = {});

}  // namespace vigor
