#pragma once
// Scaled dot-product attention with grouped queries, in blocks: no array of Tq x Tk elements ever exists
// (Dao et al. 2022, arXiv:2205.14135; online softmax: Milakov and Gimelshein 2018, arXiv:1805.02867).
// For each sequence and query head h, which reads key and value head h / (Hq / Hkv):
//
//   forward    s_ij = scale q_i . k_j                 over the keys j that query i sees
//              lse_i = log sum_j exp(s_ij)            p_ij = exp(s_ij - lse_i)         y_i = sum_j p_ij v_j
//   backward   dv_j = sum_i p_ij dy_i                 dp_ij = dy_i . v_j
//              ds_ij = p_ij (dp_ij - dy_i . y_i + dlse_i)
//              dq_i = scale sum_j ds_ij k_j           dk_j = scale sum_i ds_ij q_i
//
//   causal     query i of sequence b stands at position offsets[b] + i and sees keys 0 .. offsets[b] + i
//   lengths    only keys 0 .. lengths[b]-1 exist
//   A query that sees no key gets y = 0 and lse = -infinity.
//
//   q, y       [B,Tq,Hq,P]   f32, f64 or bf16; any strides without a copy as long as the last one is 1, so that q, k
//   k, v       [B,Tk,Hkv,P]  and v may be slices of one projection or of a cache
//   lse        [B,Hq,Tq]     f32; f64 beside f64
//   offsets, lengths [B]     i32; undefined: 0 and Tk
//
// computed   products, softmax and sums in f32 (f64 for f64); gradients of k and v are summed in a fixed order
// saved      q, k, v, y: no bytes of their own; lse, 4 B Hq Tq bytes. Backward computes p again from lse, a block at a
//            time.
// CUDA       f32 and bf16, deterministic: a block of threads owns 64 queries and streams keys and values past them
//            (forward, dq), or owns 64 keys and streams queries (dk and dv, summed over the heads of a group); no
//            atomics. Version 1 naive, a warp a row; 2 tiles in shared memory, products in f32; 3 tensor cores, for
//            bf16 (f32 stays with 2). P of 16, 32, 64 or 128; other widths up to 256 take version 1. Up to 4 queries,
//            as when decoding: a block a query, all its threads over the keys. bytes of 2 and 3 with E bytes an
//            element: forward q and y once (the minimum), k and v Tq/64 times (Tq/128 when causal), mostly from the L2
//            cache; backward twice that for q, k, v and dy, and y once.
#include "tensor/tensor.h"

namespace vigor {

struct AttentionOptions {
  double scale = 0;  // 0 stands for 1 / sqrt(P)
  bool causal = true;
  Tensor offsets;  // position of query 0 among the keys
  Tensor lengths;  // number of valid keys
};

struct AttentionResult {
  Tensor y, lse;
};

// Differentiable in q, k and v through y and lse. Throws std::invalid_argument for other shapes or dtypes, for Hq that
// is no multiple of Hkv, for a negative offset and a length outside 0 .. Tk.
AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});

// The same on one fused projection qkv [B,T,Hq+2*Hkv,P], the heads of q first, then those of k and v: also the
// gradient is one tensor, written in place of three that would be joined.
AttentionResult attention_qkv(const Tensor& qkv, int64_t kv_heads, const AttentionOptions& options = {});

}  // namespace vigor
