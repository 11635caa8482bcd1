#pragma once
// Softmax and cross-entropy over classes, the mean of the tokens that count.
//
//   forward    lse_i = log sum_v exp(logits[i,v])          with the row's maximum subtracted from every exponent
//              loss = sum_i (lse_i - logits[i,targets_i]) / counted        over tokens with targets_i != ignore_index
//   backward   dlogits[i,v] = dloss (exp(logits[i,v] - lse_i) - [v == targets_i]) / counted;  0 for ignored tokens
//
//   logits     [N,V]  f32, f64 or bf16, any strides
//   targets    [N]    i32 or i64, each in 0 .. V-1 or ignore_index
//   loss       []     f32; f64 beside f64. 0 when no token counts
//
// computed   rows in f32 (f64 for f64), their mean in f64
// saved      dlogits / dloss, [N,V] in the dtype of logits. It is computed with the loss, while the row is in the
//            cache, and takes the bytes that the logits would.
//
// The head of a language model calls linear_cross_entropy, which never holds all logits.
#include "tensor/tensor.h"

namespace vigor {

// Throws std::invalid_argument for other shapes or dtypes, and for a target out of range, naming its index.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, int64_t ignore_index = -1);

}  // namespace vigor
