#pragma once
// Depthwise causal convolution over time, with bias and SiLU, as before the scans of Mamba (Gu and Dao 2023,
// arXiv:2312.00752): each channel sees its last K inputs. For each sequence, t = 0 .. T-1, and each channel c:
//
//   forward    p_t = bias[c] + sum over k of weight[c,k] x_{t-K+1+k}       x_{-K+1} .. x_{-1} are the state
//              y_t = p_t sigmoid(p_t)                                      or p_t with silu = false
//   backward   g_t = dy_t sigmoid(p_t) (1 + p_t (1 - sigmoid(p_t)))        or dy_t
//              dx_s = sum over t of weight[c,K-1-(t-s)] g_t  (+ dlast_state)     t = s .. s+K-1; s < 0: dstate
//              dweight[c,k] = sum of g_t x_{t-K+1+k},   dbias[c] = sum of g_t    sums over batch and time
//
//   reset      resets[b,t] != 0: inputs before t read as zero from step t on. A packed document starts at t.
//   padding    steps t >= lengths[b] do not count: their y is 0, and no gradient enters or leaves there.
//
//   x, y               [B,T,C]    f32, f64 or bf16; x with any strides, without a copy where the last one is 1
//   weight             [C,1,K] as published, or [C,K]; the dtype of x, or f32 beside bf16; K from 1 to 8
//   bias               [C]        the same dtypes; undefined: none
//   state, last_state  [B,K-1,C]  the dtype of x: they are inputs, the oldest first, zeros for those before a reset
//   lengths            [B]        i32, 0 .. T;   resets [B,T] u8
//
// computed   in f32 (f64 for f64); T = 1 is the decode step
// saved      the inputs, nothing else: p is computed again from K multiplications a step
//
// CUDA (f32, bf16): a thread owns neighbouring channels (one access of 16 bytes; backward 4 channels) and a run of 32
// steps, whose last K inputs it holds in registers, so each input is loaded once, and the K-1 before the run once more;
// a run is all there is of a decode step. dweight and dbias are summed in registers over the runs of a thread, over the
// four warps of a block, and over the blocks, always in that order.
//   bytes (e = bytes of an element of x, w of a weight; "pass" = e B T C; R = ceil(T/32) runs)
//     forward   2 passes (the minimum); from the caches e B (R-1) (K-1) C, the inputs before runs, and the weights once
//               for each four runs, w ceil(B R / 4) (K+1) C
//     backward  3 passes (the minimum); from the caches 3 e B (R-1) (K-1) C about the borders of runs; and partial
//               sums, 4 (K+1) C written and read for each of min(ceil(B R / 4), 64) blocks, which read the weights
//   Results do not depend on the GPU. Lengths are not checked (that would wait for the GPU): those outside 0 .. T count
//   as the nearest.
#include "tensor/tensor.h"

namespace vigor {

inline constexpr int64_t kMaxConvWidth = 8;  // K

struct CausalConv1dOptions {
  Tensor state;    // [B,K-1,C] inputs before step 0; undefined: zeros
  Tensor lengths;  // undefined: all T
  Tensor resets;   // undefined: none
  bool silu = true;
};

struct CausalConv1dResult {
  Tensor y;           // [B,T,C]
  Tensor last_state;  // [B,K-1,C], the last inputs: the state of the next call
};

// Differentiable in x, weight, bias and state, through y and last_state. Throws std::invalid_argument for other shapes
// or dtypes and for a length outside 0 .. T.
CausalConv1dResult causal_conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 const CausalConv1dOptions& options = {});

}  // namespace vigor
